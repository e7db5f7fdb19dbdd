package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A check reads a broker's folder strictly, and accepts only what the broker writes. The broker's
// own recovery would mistake damage for the end of the log and truncate everything after it.
type check struct {
	dir     string
	addr    string // of the broker, for what an operator should do
	mark    *mark
	topics  topics
	maxTime int64 // the latest time of a batch, in milliseconds since 1970
	repairs []repair
}

// clusterID is the cluster's id that Kafka clients see.
const clusterID = "clusterlite"

// prepare checks a folder and repairs it, so that a broker can open it and listen on addr.
func prepare(dir, addr string, logger *slog.Logger) (*check, error) {
	c, err := checkFolder(dir, addr)
	if err != nil {
		return nil, err
	}
	stamp := stampOf(time.Now())
	for _, r := range c.repairs {
		if err := r.apply(stamp, logger); err != nil {
			return nil, fmt.Errorf("repair the embedded broker's folder: %w", err)
		}
	}
	return c, nil
}

// checkFolder reads the folder of a broker that is not running, and changes nothing. It returns a
// [*DamagedError] if [Start] would refuse the folder. addr is where the broker listens, for the
// remedies; "" is unknown.
func checkFolder(dir, addr string) (*check, error) {
	c := &check{dir: dir, addr: addr}
	empty, err := c.empty()
	if err != nil || empty {
		return c, err
	}
	if c.mark, err = readMark(dir); errors.Is(err, errNoMark) {
		c.repairs = append(c.repairs, rewrite{file: c.path(markFile), keep: true, why: "it was recreated from the log"})
	} else if err != nil {
		return nil, err
	}
	for _, step := range []func() error{c.checkMeta, c.checkTopics, c.checkPartitions, c.checkSettings, c.checkState} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *check) path(name string) string { return filepath.Join(c.dir, name) }

// empty reports whether no broker has used the folder.
func (c *check) empty() (bool, error) {
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return len(entries) == 0, err
}

func (c *check) damaged(file string, offset int64, found string) error {
	return &DamagedError{File: file, Offset: offset, Found: found, Remedy: restore(c.dir, c.addr)}
}

// lost returns a [*DamagedError] for a file that could not be read.
func (c *check) lost(err error, file string) error {
	return c.damaged(file, 0, err.Error())
}

// newer returns the error for a folder of a later version.
func (c *check) newer(file string) error {
	return &DamagedError{File: file, Found: "its format is not supported by this version", Remedy: "Start the version of ClusterLite that wrote the folder, or a later one. If no later version has run here, the file is damaged: restore the folder from a backup."}
}

// checkMeta recreates meta.json if necessary. Without this file the broker treats the folder as
// new and replaces everything else in it.
func (c *check) checkMeta() error {
	var got struct {
		Version   int    `json:"version"`
		ClusterID string `json:"cluster_id"`
	}
	there, err := readStrictly(c.path("meta.json"), &got)
	if there && err == nil && got.Version > formatVersion {
		return c.newer(c.path("meta.json"))
	}
	if there && err == nil && got.Version == formatVersion && got.ClusterID == clusterID {
		return nil
	}
	got.Version, got.ClusterID = formatVersion, clusterID
	c.repairs = append(c.repairs, rewrite{file: c.path("meta.json"), content: encode(got), keep: there, why: "its content is fixed"})
	return nil
}

// checkTopics takes the topics from topics.json, or from the mark if the two differ.
func (c *check) checkTopics() error {
	path := c.path("topics.json")
	there, err := readStrictly(path, &c.topics)
	if there && err == nil && c.topics.Version > formatVersion {
		return c.newer(path)
	}
	found := "the file is missing"
	if there {
		found = c.topics.invalid()
		if err != nil {
			found = "it is not a list of topics: " + err.Error()
		} else if c.topics.Version != formatVersion {
			found = "its version is missing"
		}
	}
	if c.mark != nil && c.mark.Topics != nil {
		if found == "" && sameTopics(c.topics.Topics, c.mark.Topics) {
			return nil
		}
		c.topics = topics{Version: formatVersion, Topics: c.mark.Topics}
		c.repairs = append(c.repairs, rewrite{file: path, content: encode(c.topics), keep: there, why: markFile + " has the same list of topics"})
		return nil
	}
	if found == "" {
		return nil
	}
	folders, err := c.partitionFolders()
	if err != nil {
		return err
	}
	if !there && len(folders) == 0 && (c.mark == nil || len(c.mark.Partitions) == 0) {
		return nil // the first start was interrupted
	}
	return c.damaged(path, 0, found)
}

func (c *check) partitionFolders() ([]string, error) {
	entries, err := os.ReadDir(c.path("partitions"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func (c *check) checkPartitions() error {
	folders, err := c.partitionFolders()
	if err != nil {
		return err
	}
	for _, t := range c.topics.Topics {
		for n := range t.Partitions {
			name := fmt.Sprintf("%s-%d", url.PathEscape(t.Name), n)
			folders = slices.DeleteFunc(folders, func(f string) bool { return f == name })
			p := &partition{dir: filepath.Join(c.dir, "partitions", name), known: c.mark.partition(t.ID, int32(n)), forever: t.forever(), gaps: t.compacted()}
			if err := c.checkPartition(p); err != nil {
				return err
			}
			for _, s := range p.segments {
				c.maxTime = max(c.maxTime, s.maxTime)
			}
		}
	}
	for _, f := range folders {
		// The broker would append to the segments that it finds there.
		if segments, _ := filepath.Glob(filepath.Join(c.dir, "partitions", f, "*"+segmentSuffix)); len(segments) > 0 {
			return c.damaged(c.path("topics.json"), 0, fmt.Sprintf("it has no topic for the log segments in %s", filepath.Join(c.dir, "partitions", f)))
		}
	}
	return nil
}

// checkSettings reads the files with access rules and settings. ClusterLite stores nothing in
// them, but without them the broker may behave differently.
func (c *check) checkSettings() error {
	for _, f := range []struct {
		name string
		into any
	}{
		{"acls.json", &struct {
			Version int `json:"version"`
			ACLs    []struct {
				Principal    string `json:"principal"`
				Host         string `json:"host"`
				ResourceType int8   `json:"resource_type"`
				ResourceName string `json:"resource_name"`
				Pattern      int8   `json:"pattern"`
				Operation    int8   `json:"operation"`
				Permission   int8   `json:"permission"`
			} `json:"acls"`
		}{}},
		{"sasl.json", &struct {
			Version  int                        `json:"version"`
			Plain    map[string]string          `json:"plain"`
			Scram256 map[string]json.RawMessage `json:"scram256"`
			Scram512 map[string]json.RawMessage `json:"scram512"`
		}{}},
		{"broker_configs.json", &struct {
			Version int               `json:"version"`
			Configs map[string]string `json:"configs"`
		}{}},
		{"quotas.json", &struct {
			Version int `json:"version"`
			Quotas  []struct {
				Entity json.RawMessage    `json:"entity"`
				Values map[string]float64 `json:"values"`
			} `json:"quotas"`
		}{}},
	} {
		if there, err := readStrictly(c.path(f.name), f.into); there && err != nil {
			return &DamagedError{File: c.path(f.name), Found: err.Error(), Remedy: moveAway(c.path(f.name), "ClusterLite stores nothing in it; only settings made with other Kafka tools are lost.")}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// checkState reads the broker's state about its clients, which contains no events.
func (c *check) checkState() error {
	for _, name := range []string{"groups.log", "pids.log"} {
		b, err := os.ReadFile(c.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// The broker stops reading at an incomplete entry, but would append after it.
		if whole := entries(b); whole < len(b) {
			c.repairs = append(c.repairs, cut{file: c.path(name), size: int64(whole), found: "an incomplete entry about a client"})
		}
	}
	for _, f := range []struct {
		name string
		into any
	}{{seqWindowsFile, &seqWindows{}}, {sessionFile, &map[string]json.RawMessage{}}} {
		there, err := readStrictly(c.path(f.name), f.into)
		if !there {
			if err != nil {
				return err
			}
			continue
		}
		if w, ok := f.into.(*seqWindows); ok && err == nil {
			err = w.valid()
		}
		if err != nil || c.changed(f.name) {
			c.repairs = append(c.repairs, rewrite{file: c.path(f.name), keep: true, why: "the broker does not need it"})
		}
	}
	return nil
}

// changed reports whether a file differs from its state after the last clean stop. The broker
// writes such files only when it stops.
func (c *check) changed(name string) bool {
	if c.mark == nil {
		return false
	}
	sum, known := c.mark.Stopped[name]
	return known && sum != fileSum(c.path(name))
}

const (
	seqWindowsFile = "seq_windows.json"
	sessionFile    = "session_state.json"
	snapshotFile   = "snapshot.json"
)

// seqWindows is the broker's state about idempotent producers.
type seqWindows struct {
	Version int `json:"version"`
	Windows []struct {
		PID       int64  `json:"pid"`
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Entries   [5]struct {
			FirstSeq int32 `json:"first_seq"`
			NextSeq  int32 `json:"next_seq"`
			Offset   int64 `json:"offset"`
		} `json:"entries"`
		Count   uint8    `json:"count"`
		Seq     [5]int32 `json:"seq"`
		Offsets [5]int64 `json:"offsets"`
		At      uint8    `json:"at"`
		Epoch   int16    `json:"epoch"`
		Seen    bool     `json:"seen"`
		NextSeq int32    `json:"next_seq"`
	} `json:"windows"`
}

// valid returns an error for windows that the broker cannot handle.
func (w *seqWindows) valid() error {
	for _, w := range w.Windows {
		if int(w.At) >= len(w.Entries) || int(w.Count) > len(w.Entries) {
			return errors.New("a window of sequence numbers is out of range")
		}
	}
	return nil
}

// entries returns how many bytes of a log of entries are whole. Each entry begins with its length
// and its checksum, which both cover a version of two bytes. All numbers are little-endian.
func entries(b []byte) int {
	const prefix, version = 8, 2
	at := 0
	for len(b)-at >= prefix+version {
		n := int64(binary.LittleEndian.Uint32(b[at:]))
		if n < version || n > int64(len(b)-at-prefix) {
			break
		}
		body := b[at+prefix:][:n]
		if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[at+4:]) || !json.Valid(body[version:]) {
			break
		}
		at += prefix + int(n)
	}
	return at
}
