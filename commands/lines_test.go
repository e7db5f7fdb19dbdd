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

	"github.com/clusterlite/clusterlite/commands/spool"
	"github.com/clusterlite/clusterlite/events/lines"
)

// A read is a result of next: a line, or the fact that it was too long.
type read struct {
	number int64
	text   string
	long   bool
}

func readAll(r io.Reader, most int) (all []read, err error) {
	for l := newLineReader(r, most); ; {
		text, err := l.next()
		if err != nil && !errors.Is(err, lines.ErrTooLong) {
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
		"nothing":                             {"", 10, nil},
		"one":                                 {"a\n", 10, []read{{1, "a", false}}},
		"a last line without a newline":       {"a\nb", 10, []read{{1, "a", false}, {2, "b", false}}},
		"DOS line endings":                    {"a\r\nb\r\n", 10, []read{{1, "a", false}, {2, "b", false}}},
		"empty lines count":                   {"\n\r\na\n", 10, []read{{1, "", false}, {2, "", false}, {3, "a", false}}},
		"white space around a line":           {" \t a b \t\n", 10, []read{{1, "a b", false}}},
		"white space that JSON does not have": {"\u00a0a\u0085\n", 10, []read{{1, "\u00a0a\u0085", false}}},
		"any bytes":                           {"\xff\x00\n", 10, []read{{1, "\xff\x00", false}}},
		"a line of maximum length":            {"0123456789\r\n", 10, []read{{1, "0123456789", false}}},
		"too long":                            {"0123456789a\nb\n", 10, []read{{1, "", true}, {2, "b", false}}},
		"too long at the end":                 {"a\n0123456789ab", 10, []read{{1, "a", false}, {2, "", true}}},
		"far too long":                        {wide + "\nb\n", 10, []read{{1, "", true}, {2, "b", false}}},
		"wide":                                {wide + "\n", len(wide), []read{{1, wide, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.body), iotest.OneByteReader(strings.NewReader(c.body)), iotest.DataErrReader(strings.NewReader(c.body))} {
				if got, err := readAll(r, c.most); !slices.Equal(got, c.want) || !errors.Is(err, io.EOF) {
					t.Errorf("got %d lines, %v, want the lines of the test case and io.EOF", len(got), err)
				}
			}
		})
	}
}

// A line that breaks off is not returned, since an error is not the end of the line.
func TestALineThatBreaksOff(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("a\n{\"b\":1}"), iotest.ErrReader(io.ErrUnexpectedEOF))
	if got, err := readAll(broken, 10); !slices.Equal(got, []read{{1, "a", false}}) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, %v, want the line a and io.ErrUnexpectedEOF", got, err)
	}
}

// After the connection breaks, the server executes no line whose execution has not started yet.
func TestNothingIsBegunAfterABreak(t *testing.T) {
	for range 100 {
		in := newImporter(t.Context(), &lineParser{a: &API{}}, spool.New(t.TempDir())) // without an executor, beginning a line would panic
		if err := in.queue.put(importLine{number: 1}); err != nil {
			t.Fatal(err)
		}
		in.start(newLineReader(iotest.ErrReader(io.ErrUnexpectedEOF), 10))
		<-in.ctx.Done() // the queue may not be stopped yet
		if err := in.finish(func() {}); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want %v", err, io.ErrUnexpectedEOF)
		}
		in.close()
		if n, err := in.results.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.EOF) {
			t.Fatalf("got a result of %d bytes, %v, want none", n, err)
		}
	}
}

// A batch is handed over once it is full. A partial batch waits for the batches before it.
func TestLinesAreBatched(t *testing.T) {
	q := newLineQueue()
	put := func(lines, bytes int) {
		for range lines {
			if err := q.put(importLine{bytes: bytes}); err != nil {
				t.Fatal(err)
			}
		}
	}
	take := func(want int) {
		t.Helper()
		if batch, more := q.take(); len(batch) != want || !more {
			t.Fatalf("got %d lines, %v, want %d", len(batch), more, want)
		}
	}
	put(1, 1)
	take(1) // no batch is in progress
	put(batchLines, 1)
	take(batchLines)
	put(2, batchBytes/2)
	take(2)
	put(3, 1)
	taken := make(chan []importLine)
	go func() {
		batch, _ := q.take()
		taken <- batch
	}()
	for range 2 {
		q.landed()
	}
	select {
	case batch := <-taken:
		t.Fatalf("got %d lines while a batch is in progress, want none", len(batch))
	default:
	}
	put(1, 1)
	q.landed()
	if batch := <-taken; len(batch) != 4 {
		t.Errorf("got %d lines, want 4", len(batch))
	}
	put(2, 1)
	q.end()
	take(2) // no more lines will arrive
	if batch, more := q.take(); more {
		t.Errorf("got %d lines after the end, want none", len(batch))
	}
	q.stop()
	if err := q.put(importLine{}); !errors.Is(err, errQueueStopped) {
		t.Errorf("got %v, want %v", err, errQueueStopped)
	}
}

// FuzzLines reads arbitrary input as an import. All lines are returned in order, and each is a
// command or has a problem.
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
			t.Fatalf("got %d lines, want %d", len(got), len(whole))
		}
		for i, l := range got {
			text := bytes.Trim(whole[i], " \t\r\n")
			if l.number != int64(i+1) || !l.long && l.text != string(text) || l.long && len(whole[i]) <= most {
				t.Fatalf("line %d: got %+v, want %q", i+1, l, text)
			}
			if d, err := parseBody([]byte(l.text), ""); err != nil {
				mustBeProblem(t, err, http.StatusBadRequest, http.StatusUnprocessableEntity)
			} else {
				checkParsed(t, d)
			}
		}
	})
}
