package rowformat

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/clusterlite/clusterlite/events"
)

// Ids are UUIDs. The file stores their 16 bytes, which sort as their texts do and take less
// than half the space, in the table and in each index.

// idForm shows the positions of the hyphens in an id's text.
const idForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"

// PackID returns the bytes of an id. ok is false if the text is not an id in lower case.
func PackID(text string) (packed []byte, ok bool) {
	id, ok := events.PackID(text)
	if !ok {
		return nil, false
	}
	return append(make([]byte, 0, 17), id[:]...), true // FirstAfter appends one byte
}

// ParseID is PackID for an id from the log or the file.
func ParseID(text string) ([]byte, error) {
	packed, ok := PackID(text)
	if !ok {
		return nil, fmt.Errorf("the id %q is not a UUID in lower case", text)
	}
	return packed, nil
}

// AppendID appends the text of packed bytes. Bytes that are not an id, written by another
// program, are appended unchanged.
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

// FormatID returns the text of packed bytes: see [AppendID].
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

// minID returns the smallest id whose text is not less than a text, and whether they are
// equal. found is false if all ids are less.
func minID(text string) (lowest []byte, equal, found bool) {
	if id, ok := PackID(text); ok {
		return id, true, true
	}
	const digits = "0123456789abcdef"
	nibbles := make([]byte, 0, 32)
	up := false // the smallest id follows all that begin with the nibbles
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
		up = true // the text continues after an id
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
	lowest = make([]byte, 16)
	for j, n := range nibbles {
		lowest[j/2] |= n << (4 * (1 - j%2))
	}
	return lowest, false, true
}

// FirstFrom returns bytes that divide the ids: ids whose text is not less than a text are
// greater than or equal to them, and all others are less.
func FirstFrom(text string) []byte {
	lowest, _, found := minID(text)
	if !found {
		return beyondIDs
	}
	return lowest
}

// FirstAfter is FirstFrom, except that an id whose text equals the text is less than the bytes.
func FirstAfter(text string) []byte {
	lowest, equal, found := minID(text)
	switch {
	case !found:
		return beyondIDs
	case equal:
		return append(lowest, 0)
	}
	return lowest
}

// beyondIDs are greater than all ids.
var beyondIDs = bytes.Repeat([]byte{0xff}, len(idForm)/2)

// NoID equals no id.
var NoID = []byte{}
