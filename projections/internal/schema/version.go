package schema

import (
	"fmt"
)

// ConvertedVersion is the version of tables that can be converted. They have ids and claims as
// texts, whole rendered documents, and pages of 4 KiB.
const ConvertedVersion = 1

// Readable reports whether the tables of a file can be read as they are. Those of version 2 lack only
// _recent_claims.
func Readable(version int) bool { return version == 2 || version == SchemaVersion }

// ErrOldVersion means that a file has to be converted before it is opened.
var ErrOldVersion = fmt.Errorf("the file has tables of version %d", ConvertedVersion)

// Unhexed is an SQL expression that packs the text of an id.
const Unhexed = `unhex(replace(id, '-', ''))`
