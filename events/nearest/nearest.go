// Package nearest suggests the known name that an unknown name may stand for.
package nearest

import (
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// maxLength is the maximum length in bytes of a name that is compared. Names come from clients,
// and the work grows with the square of the length.
const maxLength = 100

// Name returns the known name that is most similar to an unknown one, or the first of several. It
// returns false if none is similar: at most a third of the letters may differ, because a bad
// guess misleads more than it helps. Case is ignored.
func Name(name string, known []string) (nearest string, found bool) {
	if len(name) > maxLength {
		return "", false
	}
	allowed := utf8.RuneCountInString(name) / 3
	name = strings.ToLower(name)
	for _, k := range known {
		if d := levenshtein.ComputeDistance(name, strings.ToLower(k)); d <= allowed && (d < allowed || !found) {
			nearest, found, allowed = k, true, d
		}
	}
	return nearest, found
}
