package fulltext_test

import (
	"errors"
	"testing"

	"github.com/clusterlite/clusterlite/projections/fulltext"
)

func TestExpression(t *testing.T) {
	for q, want := range map[string]string{
		`ada`:                  `"ada"`,
		`  ada   lovelace `:    `"ada" AND "lovelace"`,
		`"ada lovelace" math*`: `"ada lovelace" AND "math"*`,
		`ada@example.com`:      `"ada@example.com"`,
		`ada OR NOT name:x`:    `"ada" AND "OR" AND "NOT" AND "name:x"`,
		`a) OR (b - ^ {x y}`:   `"a)" AND "OR" AND "(b" AND "{x" AND "y}"`,
		`"open`:                `"open"`,
		"a\x00b":               `"a b"`,
		`*`:                    "",
		`"" - "  " '`:          "",
		"":                     "",
		`été Ж* 42`:            `"été" AND "Ж"* AND "42"`,
		`x**`:                  `"x*"*`,
	} {
		got, err := fulltext.Expression(q)
		if got != want || errors.Is(err, fulltext.ErrNoWords) != (want == "") {
			t.Errorf("%q: got %s, %v, want %s", q, got, err, want)
		}
	}
}
