package rowformat

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// JSONSet encodes texts as a JSON array for json_each, so that one statement serves a set of
// any size.
func JSONSet(texts []string) string {
	slices.Sort(texts)
	b, err := json.Marshal(slices.Compact(texts))
	if err != nil { // a []string can always be marshalled
		panic(err)
	}
	return string(b)
}

// Among returns the SQL condition that a value is one of those in the statement's first
// argument, and that argument. A set of one needs no array, and a set of any size is one
// argument.
func Among(packed [][]byte) (condition string, set any) {
	slices.SortFunc(packed, bytes.Compare)
	packed = slices.CompactFunc(packed, bytes.Equal)
	if len(packed) == 1 {
		return `= ?1`, packed[0]
	}
	return `IN (SELECT unhex(value) FROM json_each(?1))`, HexArray(packed)
}

// HexArray encodes values as a JSON array of hexadecimal texts, because json_each takes no
// bytes.
func HexArray(values [][]byte) string {
	b := []byte{'['}
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = hex.AppendEncode(b, v)
		b = append(b, '"')
	}
	return string(append(b, ']'))
}
