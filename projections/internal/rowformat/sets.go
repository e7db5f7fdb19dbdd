package rowformat

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// JSONSet writes texts as the JSON array that json_each takes: one statement for a set
// of any size.
func JSONSet(texts []string) string {
	slices.Sort(texts)
	b, err := json.Marshal(slices.Compact(texts))
	if err != nil { // a []string can always be marshalled
		panic(err)
	}
	return string(b)
}

// Among gives the condition of SQL that a value is one of those in the statement's first
// argument, and that argument. A set of one needs no array, and one of any size is one
// argument.
func Among(packed [][]byte) (condition string, set any) {
	slices.SortFunc(packed, bytes.Compare)
	packed = slices.CompactFunc(packed, bytes.Equal)
	if len(packed) == 1 {
		return `= ?1`, packed[0]
	}
	return `IN (SELECT unhex(value) FROM json_each(?1))`, HexArray(packed)
}

// HexArray writes values as a JSON array of their digits: json_each takes no bytes.
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
