package commands

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// A read is what next gave: a line, or that it was too long.
type read struct {
	number int64
	text   string
	long   bool
}

func readAll(r io.Reader, most int) (all []read, err error) {
	for l := newLineReader(r, most); ; {
		text, err := l.next()
		if err != nil && !errors.Is(err, errLongLine) {
			return all, err
		}
		all = append(all, read{l.number, string(text), err != nil})
	}
}

func TestLines(t *testing.T) {
	wide := strings.Repeat("x", 100_000) // wider than any buffer
	for name, c := range map[string]struct {
		body string
		most int
		want []read
	}{
		"nothing":                   {"", 10, nil},
		"one":                       {"a\n", 10, []read{{1, "a", false}}},
		"a last one without an end": {"a\nb", 10, []read{{1, "a", false}, {2, "b", false}}},
		"the ends of DOS":           {"a\r\nb\r\n", 10, []read{{1, "a", false}, {2, "b", false}}},
		"empty ones count":          {"\n\r\na\n", 10, []read{{1, "", false}, {2, "", false}, {3, "a", false}}},
		"spaces around":             {" \t a b \t\n", 10, []read{{1, "a b", false}}},
		"other spaces are no JSON":  {"\u00a0a\u0085\n", 10, []read{{1, "\u00a0a\u0085", false}}},
		"any bytes":                 {"\xff\x00\n", 10, []read{{1, "\xff\x00", false}}},
		"the longest":               {"0123456789\r\n", 10, []read{{1, "0123456789", false}}},
		"too long":                  {"0123456789a\nb\n", 10, []read{{1, "", true}, {2, "b", false}}},
		"too long at the end":       {"a\n0123456789ab", 10, []read{{1, "a", false}, {2, "", true}}},
		"far too long":              {wide + "\nb\n", 10, []read{{1, "", true}, {2, "b", false}}},
		"wide":                      {wide + "\n", len(wide), []read{{1, wide, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.body), iotest.OneByteReader(strings.NewReader(c.body)), iotest.DataErrReader(strings.NewReader(c.body))} {
				if got, err := readAll(r, c.most); !slices.Equal(got, c.want) || !errors.Is(err, io.EOF) {
					t.Errorf("got %d lines, %v", len(got), err)
				}
			}
		})
	}
}

// A line that breaks off is none, and what it lacks is not taken for its end.
func TestALineThatBreaksOff(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("a\n{\"b\":1}"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if got, err := readAll(broken, 10); !slices.Equal(got, []read{{1, "a", false}}) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestReady(t *testing.T) {
	in, out := io.Pipe()
	defer func() { _ = in.Close() }()
	go func() { _, _ = out.Write([]byte("a\nb\nc")) }()
	l := newLineReader(in, 10)
	for _, want := range []bool{true, false} {
		if _, err := l.next(); err != nil || l.ready() != want {
			t.Errorf("after line %d: ready is %v, %v", l.number, l.ready(), err)
		}
	}
}

// What came before a break and is not begun yet is not begun any more.
func TestNothingIsBegunAfterABreak(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	batches := make(chan []importLine, 1)
	batches <- []importLine{{number: 1}}
	in := &importer{} // of no executor: to begin anything would panic
	for range 100 {
		if early, err := in.execute(ctx, batches, newSpool(t.TempDir())); early || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, %v", early, err)
		}
		if len(batches) == 0 {
			batches <- []importLine{{number: 1}}
		}
	}
}

// FuzzLines reads what strangers send as an import: all lines come, in order, and each
// is a command, or has a problem.
func FuzzLines(f *testing.F) {
	for _, body := range []string{"", "{}\n{}", "{\"a\":1}\r\n\n[1]\n", "\xff\n", strings.Repeat("x", 99) + "\n{}\n", "\ufeff{}\n"} {
		f.Add([]byte(body), 50)
	}
	f.Fuzz(func(t *testing.T, body []byte, most int) {
		if most < 1 {
			return
		}
		got, err := readAll(bytes.NewReader(body), most)
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		whole := bytes.Split(body, []byte("\n"))
		if n := len(whole); len(whole[n-1]) == 0 {
			whole = whole[:n-1]
		}
		if len(got) != len(whole) {
			t.Fatalf("%d lines of %d", len(got), len(whole))
		}
		for i, l := range got {
			text := bytes.Trim(whole[i], " \t\r\n")
			if l.number != int64(i+1) || !l.long && l.text != string(text) || l.long && len(whole[i]) <= most {
				t.Fatalf("line %d is %+v, want %q", i+1, l, text)
			}
			if d, err := parseBody([]byte(l.text), ""); err != nil {
				mustBeProblem(t, err, http.StatusBadRequest, http.StatusUnprocessableEntity)
			} else {
				checkParsed(t, d)
			}
		}
	})
}
