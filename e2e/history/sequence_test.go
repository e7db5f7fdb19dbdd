package history_test

import (
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/history"
)

func TestSequences(t *testing.T) {
	for name, c := range map[string]struct {
		got   string
		right bool
	}{
		"the same":             {"a b c d", true},
		"with later events":    {"a b c d e", true},
		"one is missing":       {"a b d", false},
		"the last are missing": {"a b c", false},
		"one comes twice":      {"a b b c d", false},
		"two are swapped":      {"a c b d", false},
		"nothing":              {"", false},
	} {
		if said := history.CheckSequence(strings.Fields(c.got), strings.Fields("a b c d")); (said == "") != c.right {
			t.Errorf("%s: got %q, want right: %t", name, said, c.right)
		}
	}
}
