package folding

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

//go:embed unicode-15.0.0.txt
var data string

// table holds the properties of Unicode that the package uses. It is immutable.
type table struct {
	class map[rune]uint8   // canonical combining classes that are not 0
	apart map[rune][]rune  // canonical decompositions, one step
	whole map[[2]rune]rune // the compositions of two code points
	fold  map[rune][]rune  // full case foldings
}

// tables reads the data once. It panics on invalid data, because the data is part of the program.
var tables = sync.OnceValue(func() *table {
	t := &table{class: map[rune]uint8{}, apart: map[rune][]rune{}, whole: map[[2]rune]rune{}, fold: map[rune][]rune{}}
	for line := range strings.Lines(data) {
		if line[0] != '#' {
			t.read(strings.Fields(line))
		}
	}
	return t
})

func (t *table) read(fields []string) {
	kind := fields[0]
	if kind == "R" {
		class, err := strconv.ParseUint(fields[3], 10, 8)
		if err != nil {
			panic(err)
		}
		for r := hex(fields[1]); r <= hex(fields[2]); r++ {
			t.class[r] = uint8(class)
		}
		return
	}
	code, mapping := hex(fields[1]), make([]rune, 0, len(fields)-2)
	for _, field := range fields[2:] {
		mapping = append(mapping, hex(field))
	}
	switch kind {
	case "D":
		t.whole[[2]rune(mapping)] = code
		t.apart[code] = mapping
	case "S":
		t.apart[code] = mapping
	case "F":
		t.fold[code] = mapping
	default:
		panic(fmt.Sprintf("unknown line %q", fields))
	}
}

func hex(field string) rune {
	n, err := strconv.ParseInt(field, 16, 32)
	if err != nil {
		panic(err)
	}
	return rune(n)
}

// Hangul syllables are composed by arithmetic (The Unicode Standard, 3.12).
const (
	syllables, leads, vowels, trails  = 0xAC00, 0x1100, 0x1161, 0x11A7
	leadCount, vowelCount, trailCount = 19, 21, 28
	syllableCount                     = leadCount * vowelCount * trailCount
)

// classOf returns a code point's canonical combining class.
func (t *table) classOf(r rune) uint8 {
	if r < firstMark {
		return 0
	}
	return t.class[r]
}

// decompose appends the full canonical decomposition of a code point, not yet in canonical order.
func (t *table) decompose(to []rune, r rune) []rune {
	if s := r - syllables; s >= 0 && s < syllableCount {
		to = append(to, leads+s/(vowelCount*trailCount), vowels+s/trailCount%vowelCount)
		if s%trailCount != 0 {
			to = append(to, trails+s%trailCount)
		}
		return to
	}
	var parts []rune
	if r >= utf8.RuneSelf {
		parts = t.apart[r]
	}
	if parts == nil {
		return append(to, r)
	}
	for _, part := range parts {
		to = t.decompose(to, part)
	}
	return to
}

// join returns the composition of two code points, and whether there is one.
func (t *table) join(a, b rune) (rune, bool) {
	if l, v := a-leads, b-vowels; l >= 0 && l < leadCount && v >= 0 && v < vowelCount {
		return syllables + (l*vowelCount+v)*trailCount, true
	}
	if s, trail := a-syllables, b-trails; s >= 0 && s < syllableCount && s%trailCount == 0 && trail > 0 && trail < trailCount {
		return a + trail, true
	}
	joined, ok := t.whole[[2]rune{a, b}]
	return joined, ok
}
