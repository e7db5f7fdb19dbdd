package embedded

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// folders holds what written returns. It is created once.
var folders struct {
	once            sync.Once
	killed, stopped map[string]string
	acknowledged    []string
}

// written returns the files of a broker's folder with acknowledged records in several segments,
// in two states: killed, when the mark was a little behind, and cleanly stopped. Callers must not
// change the maps.
func written(t testing.TB) (killed, stopped map[string]string, acknowledged []string) {
	t.Helper()
	f := &folders
	f.once.Do(func() { f.killed, f.stopped, f.acknowledged = writeFolders(t) })
	if len(f.acknowledged) == 0 {
		t.Fatal("got no folders, want them created: see the first failure")
	}
	return f.killed, f.stopped, f.acknowledged
}

func writeFolders(t testing.TB) (killed, stopped map[string]string, acknowledged []string) {
	t.Helper()
	dir := t.TempDir()
	b := start(t, dir)
	c := client(t, b)
	makeTopic(t, c, "segment.bytes", "1500")
	acknowledged = write(t, c, 0, 37)
	if err := settle(b); err != nil {
		t.Fatal(err)
	}
	acknowledged = append(acknowledged, write(t, c, 37, 3)...)
	killed = contents(t, kill(t, dir))
	b.Close()
	return killed, contents(t, dir), acknowledged
}

// settle brings the mark up to date, as if some seconds had passed.
func settle(b *Broker) error {
	b.keeper.mu.Lock()
	b.keeper.changed = b.keeper.changed.Add(-settling)
	b.keeper.mu.Unlock()
	return b.keeper.tick()
}

// holds starts a broker on a folder and compares its records with those that were acknowledged.
// If the broker refuses to start, holds checks that the folder is unchanged, and returns the
// refusal.
func holds(t testing.TB, files map[string]string, acknowledged []string) *DamagedError {
	t.Helper()
	dir := lay(t, files)
	b, err := Start(dir, "127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		var damaged *DamagedError
		if !errors.As(err, &damaged) {
			t.Errorf("got %v, want a DamagedError", err)
			return nil
		}
		if now := contents(t, dir); !maps.Equal(now, files) {
			t.Errorf("got a changed folder after the refusal %v, want it unchanged", err)
		}
		return damaged
	}
	defer b.Close()
	if got := values(read(t, b)); !slices.Equal(got, acknowledged) {
		t.Errorf("got %d records, want the %d that were acknowledged", len(got), len(acknowledged))
	}
	return nil
}

// last returns the name of the last segment.
func last(files map[string]string) string {
	name, highest := "", -1
	for f := range files {
		base := filepath.Base(f)
		if n := len(base); strings.HasSuffix(base, segmentSuffix) && strings.HasPrefix(f, "partitions") {
			number := 0
			for _, d := range base[:n-len(segmentSuffix)] {
				number = number*10 + int(d-'0')
			}
			if number > highest {
				name, highest = f, number
			}
		}
	}
	return name
}

func edited(files map[string]string, name string, edit func(string) string) map[string]string {
	m := maps.Clone(files)
	m[name] = edit(m[name])
	return m
}

func without(files map[string]string, names ...string) map[string]string {
	m := maps.Clone(files)
	for _, n := range names {
		delete(m, n)
	}
	return m
}

func flip(at int) func(string) string {
	return func(s string) string {
		b := []byte(s)
		b[at] ^= 0x10
		return string(b)
	}
}

// The broker refuses a log that is damaged anywhere. The refusal names the file and the byte.
func TestDamageIsRefused(t *testing.T) {
	killed, stopped, acknowledged := written(t)
	for state, files := range map[string]map[string]string{"killed": killed, "stopped": stopped} {
		end := last(files)
		index := strings.TrimSuffix(end, segmentSuffix) + ".idx"
		first := segmentFile("0.dat")
		for name, c := range map[string]struct {
			files  map[string]string
			file   string
			offset int64
		}{
			"a byte of the first batch":           {edited(files, first, flip(70)), first, 0},
			"a byte of the last batch":            {edited(files, end, flip(len(files[end])-5)), end, -1},
			"the length of the first batch":       {edited(files, first, flip(11)), first, 0},
			"the offset of the first batch":       {edited(files, first, flip(7)), first, 0},
			"the leader epoch of the first batch": {edited(files, first, flip(15)), first, 0},
			"zeros at the end":                    {edited(files, end, func(s string) string { return s[:len(s)-30] + strings.Repeat("\x00", 30) }), end, -1},
			"half of the last batch":              {edited(files, end, func(s string) string { return s[:len(s)-20] }), end, -1},
			"an empty last segment":               {edited(files, end, func(string) string { return "" }), end, 0},
			"an empty first segment":              {edited(files, first, func(string) string { return "" }), first, 0},
			"no first segment":                    {without(files, first), "", -1},
			"no last segment":                     {without(files, end), end, 0},
			"no last segment, and no index of it": {without(files, end, index), "", -1},
			"a segment twice":                     {edited(files, segmentFile("7777.dat"), func(string) string { return files[first] }), segmentFile("7777.dat"), 0},
			"something behind the end":            {edited(files, end, func(s string) string { return s + "and more" }), end, int64(len(files[end]))},
			"a strange segment":                   {edited(files, segmentFile("00.dat"), func(string) string { return "x" }), "", -1},
		} {
			t.Run(state+"/"+name, func(t *testing.T) {
				d := holds(t, c.files, acknowledged)
				if name == "something behind the end" {
					return // the broker may remove it: see TestATornWriteIsCutOff
				}
				if d == nil {
					t.Fatal("got a broker that started, want a refusal")
				}
				if c.file != "" && !strings.HasSuffix(d.File, c.file) {
					t.Errorf("got the file %s, want %s: %v", d.File, c.file, d)
				}
				if c.offset >= 0 && d.Offset != c.offset {
					t.Errorf("got byte %d, want %d: %v", d.Offset, c.offset, d)
				}
				for _, word := range []string{"Nothing was changed", "backup", "clusterlite snapshot create", "--data-dir", "clusterlite snapshot append"} {
					if !strings.Contains(d.Error(), word) {
						t.Errorf("got no %q in the refusal, want it: %v", word, d)
					}
				}
			})
		}
	}
}

// The broker recreates the files that it can derive from the log.
func TestDerivedFilesAreRecreated(t *testing.T) {
	killed, stopped, acknowledged := written(t)
	for state, files := range map[string]map[string]string{"killed": killed, "stopped": stopped} {
		var names []string
		for name := range files {
			if !strings.HasSuffix(name, segmentSuffix) {
				names = append(names, name)
			}
		}
		for _, name := range names {
			for what, edit := range map[string]func(string) string{
				"empty":   func(string) string { return "" },
				"half":    func(s string) string { return s[:len(s)/2] },
				"garbage": func(s string) string { return "{]" + s },
			} {
				if state == "stopped" && what != "half" {
					continue // the code is the same, and each start takes time
				}
				t.Run(state+"/"+what+" "+name, func(t *testing.T) { refusesOnly(t, name, holds(t, edited(files, name, edit), acknowledged)) })
			}
			t.Run(state+"/no "+name, func(t *testing.T) { refusesOnly(t, name, holds(t, without(files, name), acknowledged)) })
		}
	}
}

// refusesOnly fails if the broker refused, except for the files that only other tools write.
func refusesOnly(t *testing.T, name string, d *DamagedError) {
	t.Helper()
	if d == nil {
		return
	}
	switch name {
	case "acls.json", "sasl.json", "broker_configs.json", "quotas.json":
		if !strings.Contains(d.Remedy, "mv ") {
			t.Errorf("got no mv command in the remedy, want one: %v", d)
		}
	default:
		t.Errorf("got the refusal %v, want none", d)
	}
}

// An interrupted write was never acknowledged. The broker removes it, keeps a copy, and logs one
// warning.
func TestATornWriteIsCutOff(t *testing.T) {
	killed, _, acknowledged := written(t)
	end := last(killed)
	index := strings.TrimSuffix(end, segmentSuffix) + ".idx"
	whole := killed[end]
	// next is the batch that would follow: a copy of the segment's first one, at the next offset.
	size := int(parseHeader([]byte(whole)).length)
	if size >= len(whole) {
		size = len(whole)
	}
	next := []byte(whole[:size])
	next[7] = byte(len(acknowledged))
	for name, torn := range map[string]string{
		"3 bytes":         string(next[:3]),
		"30 bytes":        string(next[:30]),
		"all but a byte":  string(next[:len(next)-1]),
		"zeros":           strings.Repeat("\x00", 200),
		"begins, zeros":   string(next[:70]) + strings.Repeat("\x00", len(next)-70),
		"zeros, 20 bytes": strings.Repeat("\x00", 20),
		"a block missing": string(next[:70]) + strings.Repeat("\x00", 9) + string(next[79:]),
	} {
		t.Run(name, func(t *testing.T) {
			dir := lay(t, edited(killed, end, func(s string) string { return s + torn }))
			var out logged
			b, err := Start(dir, "127.0.0.1:0", out.logger())
			if err != nil {
				t.Fatal(err)
			}
			if got := values(read(t, b)); !slices.Equal(got, acknowledged) {
				t.Errorf("got %d records, want %d", len(got), len(acknowledged))
			}
			more := write(t, client(t, b), 100, 2)
			b.Close()
			copies, _ := filepath.Glob(filepath.Join(dir, end+".torn-*"))
			if len(copies) != 1 {
				t.Fatalf("got the copies %v, want one", copies)
			}
			if kept, _ := os.ReadFile(copies[0]); string(kept) != torn {
				t.Errorf("got %q in the copy, want %q", kept, torn)
			}
			if said := out.String(); strings.Count(said, "WARN") != 1 || !strings.Contains(said, copies[0]) || !strings.Contains(said, "bytes=") {
				t.Errorf("got the log %s, want one warning with the copy and the number of bytes", said)
			}
			b = start(t, dir)
			if got := values(read(t, b)); !slices.Equal(got, append(slices.Clone(acknowledged), more...)) {
				t.Errorf("got %d records after two more writes, want %d", len(got), len(acknowledged)+len(more))
			}
		})
	}
	t.Run("a batch without its entry in the index stays", func(t *testing.T) {
		// The process ended between the two writes, or between the second write and its answer.
		holds(t, edited(killed, index, func(s string) string { return s[:len(s)-indexEntry] }), acknowledged)
	})
}

// After a power loss the index can list a batch that never reached the disk. Only the operator
// knows that the power failed. The refusal says what to do in that case, and in no other case.
func TestWhatToDoAfterAPowerLoss(t *testing.T) {
	killed, stopped, acknowledged := written(t)
	end := last(killed)
	half := func(s string) string { return s[:len(s)-20] }
	dir := lay(t, edited(killed, end, half))
	var d *DamagedError
	if _, err := Start(dir, "127.0.0.1:0", slog.New(slog.DiscardHandler)); !errors.As(err, &d) {
		t.Fatalf("got %v, want a DamagedError", err)
	}
	_, commands, _ := strings.Cut(d.Remedy, "truncate the files:\n")
	commands, _, _ = strings.Cut(commands, "Otherwise")
	if out, err := exec.CommandContext(t.Context(), "sh", "-ec", commands).CombinedOutput(); err != nil || strings.Count(commands, "truncate") != 2 {
		t.Fatalf("got %v and the output %s from %q, want two truncate commands that succeed", err, out, commands)
	}
	if got := values(read(t, start(t, dir))); !slices.Equal(got, acknowledged[:len(acknowledged)-1]) {
		t.Errorf("got %d records, want all but the last of %d", len(got), len(acknowledged))
	}
	for name, files := range map[string]map[string]string{
		"the first batch":          edited(killed, segmentFile("0.dat"), flip(70)),
		"the last segment's first": edited(killed, end, flip(70)),
		"after a clean stop":       edited(stopped, end, half),
	} {
		if d := holds(t, files, acknowledged); d == nil || strings.Contains(d.Remedy, "truncate") {
			t.Errorf("%s: got %v, want a refusal that does not advise to truncate", name, d)
		}
	}
}

// A folder written by an older version has no mark.
func TestAFolderWithoutAMark(t *testing.T) {
	killed, stopped, acknowledged := written(t)
	for state, files := range map[string]map[string]string{"killed": killed, "stopped": stopped} {
		if d := holds(t, without(files, markFile), acknowledged); d != nil {
			t.Errorf("%s: got the refusal %v, want none", state, d)
		}
		if d := holds(t, edited(without(files, markFile), segmentFile("0.dat"), flip(100)), acknowledged); d == nil {
			t.Errorf("%s: got a broker that started on a damaged log, want a refusal", state)
		}
		for _, name := range []string{"topics.json"} {
			for _, damaged := range []map[string]string{without(files, markFile, name), edited(without(files, markFile), name, func(string) string { return "" })} {
				if d := holds(t, damaged, acknowledged); d == nil || !strings.HasSuffix(d.File, name) {
					t.Errorf("%s: got %v, want a refusal that names %s", state, d, name)
				}
			}
		}
	}
}

func TestCheckChangesNothing(t *testing.T) {
	killed, _, _ := written(t)
	files := edited(killed, last(killed), func(s string) string { return s + "\x00\x00" })
	dir := lay(t, files)
	if err := checkStopped(dir); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	if !maps.Equal(contents(t, dir), files) {
		t.Error("got a changed folder, want it unchanged")
	}
	if err := checkStopped(filepath.Join(t.TempDir(), "missing")); err != nil {
		t.Errorf("a missing folder: got %v, want no error", err)
	}
}
