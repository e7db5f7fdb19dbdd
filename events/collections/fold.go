package collections

// FoldVersion is the version of what [Fold] gives. Whoever stores what it gave compares
// versions before using it.
const FoldVersion = 1

// Fold gives the text that stands for all texts that count as the same where a unique
// property ignores case.
func Fold(text string) string {
	folded, _ := normalise(text, true)
	return folded
}
