// Package nearest finds what somebody may have meant by a name that is not known.
package nearest

import (
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// longest is the length in bytes beyond which a name is not compared: strangers write
// them, and the work grows with the square.
const longest = 100

// Name gives the known name that is most like one that is not known, the first of several.
// It returns false if none is near: at most a third of the letters may have to change,
// since a worse guess misleads more than it helps. Capitals count as small letters.
func Name(name string, known []string) (nearest string, found bool) {
	if len(name) > longest {
		return "", false
	}
	most := utf8.RuneCountInString(name) / 3
	name = strings.ToLower(name)
	for _, k := range known {
		if d := levenshtein.ComputeDistance(name, strings.ToLower(k)); d <= most && (d < most || !found) {
			nearest, found, most = k, true, d
		}
	}
	return nearest, found
}
