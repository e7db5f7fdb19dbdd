package settings

import (
	"fmt"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes, written as 1000000, 512KiB or 1MiB.
type ByteSize int64

var byteUnits = []struct {
	name string
	size int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// Allowed says what a size looks like.
func (*ByteSize) Allowed() string {
	return "a number of bytes such as 1000000, or a whole number with KiB, MiB or GiB such as 1MiB"
}

// UnmarshalText reads a size.
func (b *ByteSize) UnmarshalText(text []byte) error {
	digits, unit := string(text), int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = rest, u.size
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return fmt.Errorf("%q is not a size; allowed: %s", text, b.Allowed())
	}
	*b = ByteSize(int64(n) * unit)
	return nil
}

// String formats the size in the largest unit that divides it.
func (b ByteSize) String() string {
	for _, u := range byteUnits {
		if int64(b) >= u.size && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}
