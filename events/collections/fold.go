package collections

import "github.com/clusterlite/clusterlite/events/collections/folding"

// FoldVersion is the version of the results of [Fold]. Code that stores results must
// compare versions before it uses them.
const FoldVersion = folding.Version

// Fold returns the same text for all texts that are equal under a unique property that ignores
// case. See [folding.Fold].
func Fold(text string) string { return folding.Fold(text) }
