package lines_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/clusterlite/clusterlite/events/lines"
)

const tooLong = "(too long)"

// readAll reads all lines. It returns tooLong in place of each line that is too long.
func readAll(in io.Reader, maximum int) (all []string, r *lines.Reader, err error) {
	r = lines.NewReader(bufio.NewReaderSize(in, 16), maximum)
	for {
		line, err := r.Append(nil)
		switch {
		case errors.Is(err, lines.ErrTooLong):
			all = append(all, tooLong)
		case err != nil:
			return all, r, err
		default:
			all = append(all, string(line))
		}
	}
}

func TestLines(t *testing.T) {
	wide := strings.Repeat("x", 1000) // wider than the buffer
	for name, c := range map[string]struct {
		input   string
		maximum int
		want    []string
	}{
		"no line":                      {"", 10, nil},
		"one":                          {"a\n", 10, []string{"a\n"}},
		"a last one without a newline": {"a\nb", 10, []string{"a\n", "b"}},
		"empty ones":                   {"\n\na\n", 10, []string{"\n", "\n", "a\n"}},
		"the longest":                  {"123456789\n", 10, []string{"123456789\n"}},
		"too long":                     {"1234567890\nb\n", 10, []string{tooLong, "b\n"}},
		"too long at the end":          {"a\n1234567890a", 10, []string{"a\n", tooLong}},
		"far too long":                 {wide + "\nb\n", 10, []string{tooLong, "b\n"}},
		"far too long at the end":      {wide, 10, []string{tooLong}},
		"wide":                         {wide + "\nb", 1001, []string{wide + "\n", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(c.input), iotest.OneByteReader(strings.NewReader(c.input)), iotest.DataErrReader(strings.NewReader(c.input))} {
				got, r, err := readAll(in, c.maximum)
				if !slices.Equal(got, c.want) || !errors.Is(err, io.EOF) {
					t.Errorf("got %q, %v, want %q", got, err, c.want)
				}
				if r.Number() != int64(len(c.want)) || r.Bytes() != int64(len(c.input)) {
					t.Errorf("got %d lines of %d bytes, want %d of %d", r.Number(), r.Bytes(), len(c.want), len(c.input))
				}
			}
		})
	}
}

// A line during which the input fails is not a line, whether it is too long or not.
func TestABrokenInput(t *testing.T) {
	broken := fmt.Errorf("broken: %w", io.EOF) // as connections report it
	for _, line := range []string{"b", strings.Repeat("x", 1000)} {
		got, _, err := readAll(io.MultiReader(strings.NewReader("a\n"+line), iotest.ErrReader(broken)), 10)
		if !errors.Is(err, broken) || len(got) == 0 || got[0] != "a\n" || slices.Contains(got, "b") {
			t.Errorf("got %q, %v, want the first line and %v", got, err, broken)
		}
	}
}

// A caller that stops after a line that is too long has read only a small part of it.
func TestALongLineIsNotReadToItsEnd(t *testing.T) {
	in := strings.NewReader(strings.Repeat("x", 1<<20))
	r := lines.NewReader(bufio.NewReaderSize(in, 16), 10)
	if _, err := r.Append(nil); !errors.Is(err, lines.ErrTooLong) {
		t.Fatalf("got %v, want %v", err, lines.ErrTooLong)
	}
	if n := in.Size() - int64(in.Len()); n > 100 {
		t.Errorf("got %d bytes read, want at most 100", n)
	}
}

func TestTeeAndBuffer(t *testing.T) {
	var copied bytes.Buffer
	const input = "a\n12345678901234567890\nb\n"
	in := bufio.NewReader(strings.NewReader(input + "more"))
	r := lines.NewReader(in, 10)
	r.Tee = &copied
	buffer, err := r.Append([]byte("> "))
	if err != nil || string(buffer) != "> a\n" {
		t.Errorf("got %q, %v, want the line appended to the buffer", buffer, err)
	}
	if _, err := r.Append(nil); !errors.Is(err, lines.ErrTooLong) {
		t.Errorf("got %v, want %v", err, lines.ErrTooLong)
	}
	if _, err := r.Append(nil); err != nil || copied.String() != input || r.Bytes() != int64(len(input)) {
		t.Errorf("got %q copied and %d bytes, %v, want %q", copied.String(), r.Bytes(), err, input)
	}
	if rest, err := io.ReadAll(in); string(rest) != "more" || err != nil {
		t.Errorf("got %q left, %v, want the input after the lines", rest, err)
	}
}
