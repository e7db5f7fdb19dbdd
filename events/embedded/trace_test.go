package embedded

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A trace lists what a process did to the files of a folder, in order.
type trace struct {
	dir   string
	ops   []op
	files map[string]int // the number that identifies each file, by its current name
	next  int
}

// An op is one system call. Names are relative to the folder.
type op struct {
	kind     string // create, rename, unlink, write, truncate, sync, syncdir, ack
	name, to string
	file     int
	data     string
	size     int
}

func (o op) String() string { return fmt.Sprintf("%s %s %s %d", o.kind, o.name, o.to, len(o.data)) }

var (
	finished  = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (-?\d+)`)
	began     = regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	resumed   = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)`)
	quoted    = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
	described = regexp.MustCompile(`^(\d+)<((?:\\x[0-9a-f]{2})*)>`)
)

// parse adds the calls in an output file of strace. A sync counts only once it has ended. Every
// other call counts from its beginning, because it may have taken effect by then.
func (t *trace) parse(text string) {
	if t.files == nil {
		t.files = map[string]int{}
	}
	pending := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := finished.FindStringSubmatch(line); m != nil && !strings.Contains(m[3], "<unfinished") {
			t.call(m[2], m[3], m[4])
		} else if m := began.FindStringSubmatch(line); m != nil {
			pending[m[1]] = m[3]
			if m[2] != "fsync" && m[2] != "fdatasync" {
				t.call(m[2], m[3], "0")
				pending[m[1]] = ""
			}
		} else if m := resumed.FindStringSubmatch(line); m != nil && pending[m[1]] != "" {
			t.call(m[2], pending[m[1]]+m[3], m[4])
			delete(pending, m[1])
		}
	}
}

func (t *trace) call(name, args, result string) {
	if strings.HasPrefix(result, "-") {
		return
	}
	var texts []string
	for _, m := range quoted.FindAllStringSubmatch(args, -1) {
		texts = append(texts, unhex(m[1]))
	}
	on := ""
	if m := described.FindStringSubmatch(args); m != nil {
		on = unhex(m[2])
	}
	rel, ours := t.relative(on)
	switch name {
	case "openat":
		if path, ok := t.relative(texts[len(texts)-1]); ok && strings.Contains(args, "O_CREAT") {
			t.create(path, strings.Contains(args, "O_TRUNC"))
		}
	case "write":
		switch {
		case ours && len(texts) == 1:
			t.ops = append(t.ops, op{kind: "write", name: rel, file: t.files[rel], data: texts[0]})
		case strings.Contains(on, "TCP") || strings.HasPrefix(on, "socket"):
			if len(texts) == 1 && acknowledges(texts[0]) {
				t.ops = append(t.ops, op{kind: "ack"})
			}
		}
	case "ftruncate":
		if ours {
			size, _ := strconv.Atoi(strings.TrimSpace(args[strings.LastIndex(args, ",")+1:]))
			t.ops = append(t.ops, op{kind: "truncate", name: rel, file: t.files[rel], size: size})
		}
	case "fsync", "fdatasync":
		if file, known := t.files[rel]; ours && known {
			t.ops = append(t.ops, op{kind: "sync", name: rel, file: file})
		} else if ours {
			t.ops = append(t.ops, op{kind: "syncdir", name: rel})
		}
	case "rename", "renameat", "renameat2":
		from, ok1 := t.relative(texts[len(texts)-2])
		to, ok2 := t.relative(texts[len(texts)-1])
		if ok1 && ok2 {
			t.ops = append(t.ops, op{kind: "rename", name: from, to: to, file: t.files[from]})
			t.files[to] = t.files[from]
			delete(t.files, from)
		}
	case "unlink", "unlinkat":
		if path, ok := t.relative(texts[len(texts)-1]); ok {
			t.ops = append(t.ops, op{kind: "unlink", name: path, file: t.files[path]})
			delete(t.files, path)
		}
	}
}

func (t *trace) create(path string, empty bool) {
	file, there := t.files[path]
	switch {
	case !there:
		t.next++
		t.files[path] = t.next
		t.ops = append(t.ops, op{kind: "create", name: path, file: t.next})
	case empty:
		t.ops = append(t.ops, op{kind: "truncate", name: path, file: file})
	}
}

func (t *trace) relative(path string) (string, bool) {
	rel, err := filepath.Rel(t.dir, path)
	return rel, err == nil && path != "" && rel != ".." && !strings.HasPrefix(rel, "../")
}

func unhex(s string) string {
	b := make([]byte, 0, len(s)/4)
	for _, h := range strings.Split(s, `\x`)[1:] {
		n, _ := strconv.ParseUint(h, 16, 8)
		b = append(b, byte(n))
	}
	return string(b)
}

// acknowledges reports whether an answer on a socket acknowledges a Produce request.
func acknowledges(answer string) bool {
	if len(answer) < 9 || int(binary.BigEndian.Uint32([]byte(answer))) != len(answer)-4 {
		return false
	}
	var r kmsg.ProduceResponse
	r.SetVersion(9)
	if r.ReadFrom([]byte(answer[9:])) != nil || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return false
	}
	p := r.Topics[0].Partitions[0]
	return r.Topics[0].Topic == testTopic && p.Partition == 0 && p.ErrorCode == 0 && p.BaseOffset >= 0
}

// acknowledged returns how many records were acknowledged after the first n calls.
func (t *trace) acknowledged(n int) (acks int) {
	for _, o := range t.ops[:n] {
		if o.kind == "ack" {
			acks++
		}
	}
	return acks
}

// crash returns what the folder can hold if the power fails after n calls. With how 0 only the
// process ends, which loses nothing. With inOrder each sync also keeps all names from before it.
func (t *trace) crash(n int, inOrder bool, how int, random *rand.Rand) map[string]string {
	ops := t.ops[:n]
	names, content := map[string]int{}, map[int]string{}
	lastSync, lastNames := map[int]int{}, map[string]int{}
	anySync := -1
	for i, o := range ops {
		switch o.kind {
		case "sync":
			lastSync[o.file], anySync = i, i
		case "syncdir":
			lastNames[o.name], anySync = i, i
		}
	}
	// part holds how much of each file's pending writes reaches the disk; names1 is the same for
	// the pending names.
	part := map[int]float64{}
	share := func(file int) float64 {
		if _, ok := part[file]; !ok {
			part[file] = [...]float64{0, 1, random.Float64()}[random.IntN(3)]
		}
		return part[file]
	}
	pendingOf := map[int]int{}
	for i, o := range ops {
		if (o.kind == "write" || o.kind == "truncate") && i > lastSync[o.file] {
			pendingOf[o.file]++
		}
	}
	done := map[int]int{}
	names1 := random.Float64()
	pendingNames, doneNames := 0, 0
	kept := func(i int, o op) bool {
		if how == 0 || inOrder && i < anySync {
			return true
		}
		last, ok := lastNames[filepath.Dir(o.name)]
		return ok && i < last || o.kind == "create" && lastSync[o.file] > i
	}
	isName := func(o op) bool { return o.kind == "create" || o.kind == "rename" || o.kind == "unlink" }
	for i, o := range ops {
		if isName(o) && !kept(i, o) {
			pendingNames++
		}
	}
	for i, o := range ops {
		switch o.kind {
		case "write":
			data := o.data
			if synced, ok := lastSync[o.file]; how != 0 && (!ok || i > synced) {
				done[o.file]++
				whole := share(o.file) * float64(pendingOf[o.file])
				if float64(done[o.file]) > whole {
					torn := int((whole - float64(done[o.file]-1)) * float64(len(data)))
					if torn <= 0 {
						continue
					}
					data = data[:torn]
					if how == 3 { // the size reached the disk, but the last blocks did not
						data += strings.Repeat("\x00", len(o.data)-torn)
					}
				}
			}
			content[o.file] += data
		case "truncate":
			content[o.file] = (content[o.file] + strings.Repeat("\x00", o.size))[:o.size]
		case "create", "rename", "unlink":
			if !kept(i, o) {
				doneNames++
				if float64(doneNames) > names1*float64(pendingNames) {
					continue
				}
			}
			switch o.kind {
			case "create":
				names[o.name] = o.file
			case "rename":
				delete(names, o.name)
				names[o.to] = o.file
			case "unlink":
				delete(names, o.name)
			}
		}
	}
	files := map[string]string{}
	for name, file := range names {
		files[name] = content[file]
	}
	return files
}
