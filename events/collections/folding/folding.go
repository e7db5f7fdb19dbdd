// Package folding decides which texts are equal for x-unique. Claims that are derived from
// its results stay in logs forever. Therefore it has its own tables, those of Unicode
// 15.0.0, independent of the versions of libraries. Characters that a later version assigns
// are not folded.
package folding

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Version identifies the rules. Different rules would change claims, so they would need a
// new version, and clusterlite reindex would have to update the claims of existing
// entities.
const Version = 1

// NFC returns the text in Unicode normalization form C, which is the same for canonically
// equivalent texts.
func NFC(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r >= firstMark }) {
		return text
	}
	return string(compose(decompose(text)))
}

// firstMark is the first code point that NFC may change or combine with the previous one.
const firstMark = 0x300

// Fold returns the text without distinctions of case: NFC(NFD(F(NFD(text)))), where F is
// the full case folding of each code point. Two texts have the same result if and only if
// they are a canonical caseless match (The Unicode Standard, 3.13, D145). Fold is
// idempotent.
func Fold(text string) string {
	ascii := true
	for i := 0; i < len(text) && ascii; i++ {
		ascii = text[i] < utf8.RuneSelf
	}
	if ascii {
		return strings.ToLower(text)
	}
	folds := tables().fold
	var folded []rune
	for _, r := range decompose(text) {
		switch f := folds[r]; {
		case f != nil:
			folded = append(folded, f...)
		default:
			folded = append(folded, r)
		}
	}
	return string(compose(decompose(string(folded))))
}

// decompose returns the text in normalization form D.
func decompose(text string) []rune {
	t := tables()
	runes := make([]rune, 0, utf8.RuneCountInString(text)+8)
	for _, r := range text {
		runes = t.decompose(runes, r)
	}
	for begin := 0; begin < len(runes); begin++ {
		end := begin
		for end < len(runes) && t.classOf(runes[end]) != 0 {
			end++
		}
		if end-begin > 1 {
			slices.SortStableFunc(runes[begin:end], func(a, b rune) int { return int(t.class[a]) - int(t.class[b]) })
		}
		begin = end
	}
	return runes
}

// compose converts form D to form C, in place.
func compose(runes []rune) []rune {
	t := tables()
	composed := runes[:0]
	starter := -1
	last := uint8(0) // the class of the last code point in composed
	for _, r := range runes {
		class := t.classOf(r)
		if r >= firstMark && starter >= 0 && (starter == len(composed)-1 || last < class) {
			if joined, ok := t.join(composed[starter], r); ok {
				composed[starter] = joined
				continue
			}
		}
		if class == 0 {
			starter = len(composed)
		}
		last = class
		composed = append(composed, r)
	}
	return composed
}
