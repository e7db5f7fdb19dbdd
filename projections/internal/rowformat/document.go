package rowformat

import (
	"strconv"

	"github.com/clusterlite/clusterlite/events"
)

// The file stores documents without the members that the server adds, because the columns
// beside them hold those values. A read adds them again.

// ServerMembers is the length of the members that the server adds, without their values.
const ServerMembers = len(`{"id":"","version":,"created_at":"","updated_at":""`)

// StoredDocument returns the document of a rendered entity as the file stores it.
func StoredDocument(e events.Entity) string {
	var digits [20]byte
	server := ServerMembers + len(e.ID) + len(strconv.AppendInt(digits[:0], e.Version, 10)) + len(e.CreatedAt) + len(e.UpdatedAt)
	if own := e.Rendered[server:]; own[0] == ',' {
		return "{" + string(own[1:])
	}
	return "{}"
}
