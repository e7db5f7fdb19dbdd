package schema

import (
	"fmt"
)

// ConvertedVersion is the version of tables that convert takes. They had ids and claims as
// texts, whole rendered documents, and pages of 4 KiB.
const ConvertedVersion = 1

// ErrOldVersion says that a file has to be converted before it is opened.
var ErrOldVersion = fmt.Errorf("the file has tables of version %d", ConvertedVersion)

// Unhexed makes an id of its text.
const Unhexed = `unhex(replace(id, '-', ''))`
