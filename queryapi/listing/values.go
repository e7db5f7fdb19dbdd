package listing

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/projections/query"
)

// parseValue parses the value of a filter. The error says what the value must be.
func parseValue(f query.Filter, text string) (any, error) {
	if f.Op == query.Present {
		return parseTruth(text)
	}
	if text == "null" && (f.Column.Kind() != query.Text || f.Column.Format() != "") {
		return nil, errNull(f.Column)
	}
	switch f.Column.Kind() {
	case query.Integer:
		return parseInteger(text)
	case query.Number:
		return parseNumber(text)
	case query.Boolean:
		return parseTruth(text)
	case query.Time:
		return parseTime(text)
	default:
		return parseText(f.Column, text)
	}
}

// errNull says how to find entities that lack the member. For a text without a format, null is a
// text like any other.
func errNull(column query.Column) error {
	if !column.Nullable() {
		return errors.New("a value: every entity has this member")
	}
	return fmt.Errorf("a value; to find entities where it is missing or null, use %s[exists]=false", column.Name())
}

func parseTruth(text string) (any, error) {
	b, err := parseBool("", text)
	if err != nil {
		return nil, errors.New("true or false")
	}
	return b, nil
}

// The limits of numbers are the same as in documents.
const (
	maxDigits   = document.MaxDigits
	maxExponent = document.MaxExponent
)

// number matches a JSON number (RFC 8259, 6).
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?0*([0-9]+))?$`)

// checkNumber checks the text of a number. It checks the limits before anything is computed whose
// cost depends on the size of the number.
func checkNumber(text string) error {
	parts := number.FindStringSubmatch(text)
	if parts == nil {
		if number.MatchString(strings.Replace(text, " ", "+", 1)) {
			return errors.New("a number; in a URL, + stands for a space, so write + as %2B")
		}
		return errors.New("a number")
	}
	if digits := len(parts[1]) + len(strings.TrimPrefix(parts[2], ".")); digits > maxDigits {
		return fmt.Errorf("a number of at most %d digits", maxDigits)
	}
	if exponent := parts[4]; len(exponent) > len("1000") || exponent != "" && atoi(exponent) > maxExponent {
		return fmt.Errorf("a number with an exponent from %d to %d", -maxExponent, maxExponent)
	}
	return nil
}

func atoi(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil { // the caller has checked the digits
		panic(err)
	}
	return n
}

func parseNumber(text string) (any, error) {
	if err := checkNumber(text); err != nil {
		return nil, err
	}
	return json.Number(text), nil
}

// parseInteger parses an integer in any spelling: 10, 10.0 and 1e1 are equal.
func parseInteger(text string) (any, error) {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil && number.MatchString(text) {
		return i, nil
	}
	if err := checkNumber(text); err != nil {
		return nil, errors.New(strings.Replace(err.Error(), "a number", "an integer", 1))
	}
	r, ok := new(big.Rat).SetString(text)
	switch {
	case !ok || !r.IsInt():
		return nil, errors.New("an integer")
	case r.Num().IsInt64():
		return r.Num().Int64(), nil
	}
	return json.Number(r.Num().String()), nil
}

// offsetWithSpace matches the end of a time with an offset whose + was not escaped.
var offsetWithSpace = regexp.MustCompile(` [0-9]{2}:[0-9]{2}$`)

// spaceForPlus reports whether a text is a time whose + has become a space.
func spaceForPlus(text string) bool {
	if !offsetWithSpace.MatchString(text) {
		return false
	}
	i := strings.LastIndexByte(text, ' ')
	_, ok := parseRFC3339(text[:i] + "+" + text[i+1:])
	return ok
}

const escapePlus = "a time; in a URL, + stands for a space, so write + as %2B"

// parseTime parses a time for a column of the server, which has milliseconds. A time between two
// milliseconds sorts between their texts and is equal to neither.
func parseTime(text string) (any, error) {
	t, ok := parseRFC3339(text)
	switch {
	case spaceForPlus(text):
		return nil, errors.New(escapePlus)
	case !ok || t.UTC().Year() < 0 || t.UTC().Year() > 9999:
		return nil, errors.New("an RFC 3339 time such as 2026-11-24T12:00:00Z")
	}
	whole := t.Truncate(time.Millisecond)
	formatted := events.FormatTime(whole)
	if !t.Equal(whole) {
		formatted += "+"
	}
	return formatted, nil
}

// rfc3339 matches a time by RFC 3339, 5.6. T and Z may be in lower case.
var rfc3339 = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}):([0-9]{2})(\.[0-9]+)?([Zz]|[+-]([0-9]{2}):([0-9]{2}))$`)

// parseRFC3339 parses a time strictly. time.Parse accepts less (no lower case, no leap seconds)
// and more (hours of one digit, a comma before the fraction, offsets of more than a day). A leap
// second can only be the last second of a day in UTC, and counts as the first second of the next
// day, as in POSIX. Digits beyond nanoseconds are dropped.
func parseRFC3339(text string) (time.Time, bool) {
	parts := rfc3339.FindStringSubmatch(text)
	if parts == nil {
		return time.Time{}, false
	}
	day, minute, second, fraction, offset := parts[1], parts[2], parts[3], parts[4], strings.ToUpper(parts[5])
	if offset != "Z" && (parts[6] > "23" || parts[7] > "59") {
		return time.Time{}, false
	}
	leap := second == "60"
	if leap {
		second = "59"
	}
	t, err := time.Parse(time.RFC3339Nano, day+"T"+minute+":"+second+fraction+offset)
	if err != nil {
		return time.Time{}, false
	}
	if leap {
		if utc := t.UTC(); utc.Hour() != 23 || utc.Minute() != 59 {
			return time.Time{}, false
		}
		t = t.Add(time.Second)
	}
	return t, true
}

func parseText(column query.Column, text string) (any, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("valid UTF-8")
	}
	if column.Format() == "date-time" && spaceForPlus(text) {
		return nil, errors.New(escapePlus)
	}
	return text, nil
}
