package collections

import "github.com/clusterlite/clusterlite/events/collections/folding"

// FoldVersion is the version of what [Fold] gives. Whoever stores what it gave compares
// versions before using it.
const FoldVersion = folding.Version

// Fold returns the text that stands for all texts that count as the same where a unique
// property ignores case. See [folding.Fold].
func Fold(text string) string { return folding.Fold(text) }
