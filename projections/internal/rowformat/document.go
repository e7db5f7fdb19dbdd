package rowformat

import (
	"strconv"

	"github.com/clusterlite/clusterlite/events"
)

// The file holds documents without the members that the server adds, since the columns beside
// them have those already. A read adds them again.

// ServerMembers is the length of the members that the server adds, without their values.
const ServerMembers = len(`{"id":"","version":,"created_at":"","updated_at":""`)

// StoredDocument gives what the file holds of a rendered entity.
func StoredDocument(e events.Entity) string {
	var digits [20]byte
	server := ServerMembers + len(e.ID) + len(strconv.AppendInt(digits[:0], e.Version, 10)) + len(e.CreatedAt) + len(e.UpdatedAt)
	if own := e.Rendered[server:]; own[0] == ',' {
		return "{" + string(own[1:])
	}
	return "{}"
}
