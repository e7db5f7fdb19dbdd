package collections

import (
	"strings"
	"unicode/utf8"
)

// FoldVersion is the version of what [Fold] gives. Whoever stores what it gave compares
// versions before using it.
const FoldVersion = 1

// Fold gives the text that stands for all texts that count as the same where a unique
// property ignores case.
func Fold(text string) string {
	if isASCII(text) { // most are, and lower case is then all that folding does
		return strings.ToLower(text)
	}
	folded, _ := normalise(text, true)
	return folded
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
