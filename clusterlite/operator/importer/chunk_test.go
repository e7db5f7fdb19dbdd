package importer

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func chunks(t *testing.T, input string) (all []*chunk) {
	t.Helper()
	for r := newChunkReader(strings.NewReader(input)); ; {
		c, err := r.next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
}

func TestChunks(t *testing.T) {
	all := chunks(t, strings.Repeat("{}\n\r\n", 4000)+" {}")
	if len(all) != 2 {
		t.Fatalf("got %d chunks, want 2", len(all))
	}
	first, last := all[0], all[1]
	if first.first != 1 || first.next != 5001 || first.end != 2500*5 || string(first.body) != strings.Repeat("{}\n", 2500) || first.lines[1] != (line{3, 8}) {
		t.Errorf("got lines %d to %d, %d bytes, then %+v, want lines 1 to 5001 with 12500 bytes", first.first, first.next, first.end, first.lines[1])
	}
	if last.first != 5001 || last.next != 8002 || last.end != 4000*5+3 || len(last.lines) != 1501 || last.lines[1500] != (line{8001, 20003}) {
		t.Errorf("got lines %d to %d, %d bytes, %d lines, want lines 5001 to 8002 with 20003 bytes, 1501 lines", last.first, last.next, last.end, len(last.lines))
	}
	if all := chunks(t, ""); len(all) != 0 {
		t.Errorf("an empty input: got %d chunks, want 0", len(all))
	}
}

func TestLongLines(t *testing.T) {
	all := chunks(t, "{}\n"+strings.Repeat("x", maxLine+1)+"\n"+strings.Repeat("x", chunkBytes)+"\n{}\n")
	if len(all) != 2 || len(all[0].long) != 1 || all[0].long[0].number != 2 || len(all[0].lines) != 2 || all[1].first != 4 {
		t.Errorf("got %d chunks, the first with %+v and %+v, want 2, the first with two lines and a long one", len(all), all[0].lines, all[0].long)
	}
}

// A key is valid only for the same lines at the same position.
func TestKeys(t *testing.T) {
	c := chunks(t, "{}\n")[0]
	key := c.key("", "users")
	other := chunks(t, "\n{}\n")[0]
	for name, k := range map[string]string{
		"another name": c.key("x", "users"), "another collection": c.key("", "orders"),
		"other lines": chunks(t, "{} \n[]\n")[0].key("", "users"),
	} {
		if k == key {
			t.Errorf("%s: got the same key, want another", name)
		}
	}
	if c.key("", "users") != key || other.key("", "users") != key {
		t.Error("got another key for the same lines")
	}
	if key != "import-"+key[7:] || len(key) != 50 {
		t.Errorf("got %q, want import- and 43 characters", key)
	}
}
