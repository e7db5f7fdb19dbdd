package schema

import (
	"fmt"
)

// ConvertedVersion is the version of tables that can be converted. They have ids and claims as
// texts, whole rendered documents, and pages of 4 KiB.
const ConvertedVersion = 1

// ErrOldVersion means that a file has to be converted before it is opened.
var ErrOldVersion = fmt.Errorf("the file has tables of version %d", ConvertedVersion)

// Unhexed is an SQL expression that packs the text of an id.
const Unhexed = `unhex(replace(id, '-', ''))`
