package document

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// The limits of numbers in documents from clients and in files of collections. Within them, exact
// arithmetic takes microseconds: see docs/decisions/2026-11-26-bounded-numbers.md.
const (
	// MaxDigits is the maximum number of digits, without those of the exponent.
	MaxDigits = 1000
	// MaxExponent is the maximum exponent in the text of a number, and -MaxExponent the minimum.
	MaxExponent = 1000
)

// ErrNumber is wrapped by every [NumberError].
var ErrNumber = errors.New("a number is out of range")

// A NumberError reports a number with too many digits, or with too large an exponent.
type NumberError struct {
	// Pointer points to the number (RFC 6901).
	Pointer string
	// Reason says what the number must be. It can follow the name of the member.
	Reason string
}

// Error returns the pointer and the reason.
func (e *NumberError) Error() string {
	if e.Pointer == "" {
		return "the number " + e.Reason
	}
	return "the number at " + e.Pointer + " " + e.Reason
}

// Unwrap returns [ErrNumber].
func (e *NumberError) Unwrap() error { return ErrNumber }

// CheckNumbers returns a [NumberError] for the first number in valid JSON that exceeds the
// limits. It takes time in proportion to the length of the text.
func CheckNumbers(json []byte) error {
	if !hasWideNumber(json) {
		return nil
	}
	in := jsontext.NewDecoder(bytes.NewReader(json), jsontext.AllowDuplicateNames(true))
	for {
		switch in.PeekKind() {
		case jsontext.KindNumber:
			literal, err := in.ReadValue()
			if err != nil {
				return syntaxError(in, err)
			}
			if reason := outOfBounds(literal); reason != "" {
				return &NumberError{Pointer: string(in.StackPointer()), Reason: reason}
			}
		case jsontext.KindInvalid: // the end, or invalid JSON
			return nil
		default:
			if _, err := in.ReadToken(); err != nil {
				return syntaxError(in, err)
			}
		}
	}
}

// hasWideNumber reports whether valid JSON has a number that exceeds the limits. It runs on every
// body, so it does not allocate.
func hasWideNumber(json []byte) bool {
	for i := 0; i < len(json); {
		switch c := json[i]; {
		case c == '"':
			i = skipString(json, i)
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(json) && inNumber(json[end]) {
				end++
			}
			if outOfBounds(json[i:end]) != "" {
				return true
			}
			i = end
		default:
			i++
		}
	}
	return false
}

// skipString returns the index after the string that begins at i.
func skipString(json []byte, i int) int {
	for i++; i < len(json); i++ {
		switch json[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return i
}

func inNumber(c byte) bool {
	return '0' <= c && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// outOfBounds says which limit a number exceeds. It is empty if the number is within the limits.
func outOfBounds(literal []byte) string {
	const safe = 4 // a number of so few bytes can't exceed the limits
	if len(literal) <= safe {
		return ""
	}
	mantissa, exponent := literal, []byte(nil)
	if i := bytes.IndexAny(literal, "eE"); i >= 0 {
		mantissa, exponent = literal[:i], literal[i+1:]
	}
	digits := 0
	for _, c := range mantissa {
		if '0' <= c && c <= '9' {
			digits++
		}
	}
	if digits > MaxDigits {
		return fmt.Sprintf("must have at most %d digits", MaxDigits)
	}
	size := 0
	for _, c := range bytes.TrimLeft(exponent, "+-") {
		if size = size*10 + int(c-'0'); size > MaxExponent {
			return fmt.Sprintf("must have an exponent from %d to %d", -MaxExponent, MaxExponent)
		}
	}
	return ""
}
