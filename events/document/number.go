package document

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// The bounds of a number in a document that a client sends, and in a collection's file.
// Exact arithmetic on a number within them takes microseconds; see
// docs/decisions/2026-11-26-bounded-numbers.md.
const (
	// MaxDigits is how many digits a number may have, without those of its exponent.
	MaxDigits = 1000
	// MaxExponent is the largest exponent that a number may be written with, and
	// -MaxExponent the smallest.
	MaxExponent = 1000
)

// ErrNumber is what a [NumberError] wraps.
var ErrNumber = errors.New("a number is out of range")

// A NumberError reports a number with too many digits, or with too large an exponent.
type NumberError struct {
	// Pointer is the number's place (RFC 6901).
	Pointer string
	// Reason says what a number there must be. The name of the member can stand before it.
	Reason string
}

// Error names the place and the reason.
func (e *NumberError) Error() string {
	if e.Pointer == "" {
		return "the number " + e.Reason
	}
	return "the number at " + e.Pointer + " " + e.Reason
}

// Unwrap gives [ErrNumber].
func (e *NumberError) Unwrap() error { return ErrNumber }

// CheckNumber reports whether a number, written as JSON has it, is within the bounds:
// it returns a [NumberError] without a place if it isn't. It computes nothing, so it is
// safe for text from anyone.
func CheckNumber(literal string) error {
	if reason := outOfBounds([]byte(literal)); reason != "" {
		return &NumberError{Reason: reason}
	}
	return nil
}

// CheckNumbers looks for a number out of bounds in valid JSON, and returns a
// [NumberError] for the first. It takes time in proportion to the text.
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
		case jsontext.KindInvalid: // the end, or not JSON
			return nil
		default:
			if _, err := in.ReadToken(); err != nil {
				return syntaxError(in, err)
			}
		}
	}
}

// hasWideNumber reports whether valid JSON has a number out of bounds. Every body is
// put to it, so it makes nothing.
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

// skipString gives the index after the string that begins at i.
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

// outOfBounds says what is wrong with a number's size; nothing if it is within bounds.
func outOfBounds(literal []byte) string {
	const safe = 4 // not even an exponent of so few bytes is out of bounds
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
