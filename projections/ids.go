package projections

import (
	"bytes"
	"encoding/hex"
	"fmt"
)

// Ids are UUIDs. The file holds the 16 bytes that they stand for, which sort as their texts
// do and take less than half the room, in the table and again in each index.

// idForm is an id's text, with a hyphen wherever it has one.
const idForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"

// packID gives the bytes of an id, and false if the text is not an id in lower case.
func packID(text string) (packed []byte, ok bool) {
	least, exact, ok := leastID(text)
	return least, ok && exact
}

// mustPackID is packID for an id that the log or the file gave.
func mustPackID(text string) ([]byte, error) {
	packed, ok := packID(text)
	if !ok {
		return nil, fmt.Errorf("the id %q is not a UUID in lower case", text)
	}
	return packed, nil
}

// appendID appends the text of packed bytes. Bytes that are no id, which something other
// than ClusterLite wrote, stand for themselves.
func appendID(text, packed []byte) []byte {
	if len(packed) != 16 {
		return append(text, packed...)
	}
	for i, span := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, packed[span[0]:span[1]])
	}
	return text
}

func unpackID(packed []byte) string {
	return string(appendID(make([]byte, 0, len(idForm)), packed))
}

// packedID scans an id from the file.
type packedID string

// Scan implements sql.Scanner.
func (id *packedID) Scan(value any) error {
	switch v := value.(type) {
	case []byte:
		*id = packedID(unpackID(v))
	case string:
		*id = packedID(v)
	default:
		return fmt.Errorf("an id is a %T", value)
	}
	return nil
}

// leastID gives the least id whose text is not less than a text, and whether it is equal.
// found is false if all ids are less.
func leastID(text string) (least []byte, equal, found bool) {
	const digits = "0123456789abcdef"
	nibbles := make([]byte, 0, 32)
	up := false // the least id is beyond all that begin with the nibbles
	i := 0
	for ; i < len(idForm) && i < len(text); i++ {
		c := text[i]
		if idForm[i] == '-' {
			if c == '-' {
				continue
			}
			up = c > '-'
			break
		}
		next := 0
		for next < len(digits) && digits[next] < c {
			next++
		}
		if next == len(digits) {
			up = true
			break
		}
		nibbles = append(nibbles, byte(next))
		if digits[next] != c {
			break
		}
	}
	equal = i == len(idForm) && len(text) == len(idForm)
	if i == len(idForm) && len(text) > len(idForm) {
		up = true
	}
	for up && len(nibbles) > 0 {
		last := len(nibbles) - 1
		if nibbles[last]++; nibbles[last] < 16 {
			break
		}
		nibbles = nibbles[:last]
	}
	if up && len(nibbles) == 0 {
		return nil, false, false
	}
	least = make([]byte, 16)
	for j, n := range nibbles {
		least[j/2] |= n << (4 * (1 - j%2))
	}
	return least, equal, true
}

// firstFrom gives bytes that divide the ids: those whose text is not less than a text come
// after them or are equal to them, and all others come before.
func firstFrom(text string) []byte {
	least, _, found := leastID(text)
	if !found {
		return beyondIDs
	}
	return least
}

// firstAfter gives bytes that divide the ids as firstFrom does, and puts one whose text is
// equal before them.
func firstAfter(text string) []byte {
	least, equal, found := leastID(text)
	switch {
	case !found:
		return beyondIDs
	case equal:
		return append(least, 0)
	}
	return least
}

// beyondIDs come after all ids.
var beyondIDs = bytes.Repeat([]byte{0xff}, len(idForm)/2)

// noID is equal to no id.
var noID = []byte{}
