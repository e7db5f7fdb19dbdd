package rowformat

import (
	"bytes"
	"encoding/hex"
	"fmt"
)

// Ids are UUIDs. The file holds the 16 bytes that they stand for, which sort as their texts
// do and take less than half the room, in the table and again in each index.

// idForm is an id's text, with a hyphen wherever it has one.
const idForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"

// PackID gives the bytes of an id, and false if the text is not an id in lower case.
func PackID(text string) (packed []byte, ok bool) {
	if len(text) != len(idForm) {
		return nil, false
	}
	packed = make([]byte, 0, 17) // firstAfter appends one
	for i := 0; i < len(text); {
		if idForm[i] == '-' {
			if text[i] != '-' {
				return nil, false
			}
			i++
			continue
		}
		high, low := nibble(text[i]), nibble(text[i+1])
		if high|low > 0xf {
			return nil, false
		}
		packed = append(packed, high<<4|low)
		i += 2
	}
	return packed, true
}

// nibble gives the value of a digit in lower case, or 0xff.
func nibble(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	}
	return 0xff
}

// ParseID is packID for an id that the log or the file gave.
func ParseID(text string) ([]byte, error) {
	packed, ok := PackID(text)
	if !ok {
		return nil, fmt.Errorf("the id %q is not a UUID in lower case", text)
	}
	return packed, nil
}

// AppendID appends the text of packed bytes. Bytes that are no id, which something other
// than ClusterLite wrote, stand for themselves.
func AppendID(text, packed []byte) []byte {
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

func FormatID(packed []byte) string {
	return string(AppendID(make([]byte, 0, len(idForm)), packed))
}

// ID scans an id from the file.
type ID string

// Scan implements sql.Scanner.
func (id *ID) Scan(value any) error {
	switch v := value.(type) {
	case []byte:
		*id = ID(FormatID(v))
	case string:
		*id = ID(v)
	default:
		return fmt.Errorf("an id has the type %T", value)
	}
	return nil
}

// leastID gives the least id whose text is not less than a text, and whether it is equal.
// found is false if all ids are less.
func leastID(text string) (least []byte, equal, found bool) {
	if id, ok := PackID(text); ok {
		return id, true, true
	}
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
	if i == len(idForm) {
		up = true // the text goes on after an id
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
	return least, false, true
}

// FirstFrom gives bytes that divide the ids: those whose text is not less than a text come
// after them or are equal to them, and all others come before.
func FirstFrom(text string) []byte {
	least, _, found := leastID(text)
	if !found {
		return beyondIDs
	}
	return least
}

// FirstAfter gives bytes that divide the ids as firstFrom does, and puts one whose text is
// equal before them.
func FirstAfter(text string) []byte {
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

// NoID is equal to no id.
var NoID = []byte{}
