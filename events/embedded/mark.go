package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// markFile belongs to this package; the broker does not know it. It records what is certainly
// acknowledged. This distinguishes a log that lost its end, its beginning or everything from a
// log that never had more. The file is at most a second behind, and never ahead.
const markFile = "acknowledged.json"

// A mark is the content of the file: a line of JSON, with its checksum in a second line.
type mark struct {
	Version int `json:"version"`
	// Topics are the topics in topics.json. It is nil if they are about to change.
	Topics []topic `json:"topics,omitempty"`
	// Partitions are the logs by topic id and number.
	Partitions []markedPartition `json:"partitions,omitempty"`
	// Stopped are the checksums of files that the broker writes only when it is stopped.
	Stopped map[string]string `json:"stopped,omitempty"`
}

// A markedPartition is the part of a log that was acknowledged, from Start up to but not
// including End.
type markedPartition struct {
	Topic  []byte `json:"topic"`
	Number int32  `json:"number"`
	Start  int64  `json:"start"`
	End    int64  `json:"end"`
}

// errNoMark means that the file is damaged, or that this package did not write it.
var errNoMark = errors.New("the file is incomplete")

// readMark returns nil if the file does not exist, as in a folder of an older version.
func readMark(dir string) (*mark, error) {
	b, err := os.ReadFile(filepath.Join(dir, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	line, sum, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != checksum(line) {
		return nil, errNoMark
	}
	var m mark
	if err := json.Unmarshal(line, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoMark, err)
	}
	return &m, nil
}

func (m *mark) write(dir string) error {
	line := encode(m)
	return writeFile(filepath.Join(dir, markFile), append(append(line, '\n'), checksum(line)...))
}

func checksum(line []byte) string {
	sum := strconv.FormatUint(uint64(crc32.Checksum(line, castagnoli)), 16)
	return strings.Repeat("0", 8-len(sum)) + sum + "\n"
}

// fileSum returns the checksum of a file, or "" if it can't be read.
func fileSum(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return checksum(b)
}

// partition returns the entry of a log, or nil if the mark has none. m may be nil.
func (m *mark) partition(topic []byte, number int32) *markedPartition {
	if m == nil {
		return nil
	}
	for i := range m.Partitions {
		if p := &m.Partitions[i]; p.Number == number && bytes.Equal(p.Topic, topic) {
			return p
		}
	}
	return nil
}

func (m *mark) clone() *mark {
	return &mark{Version: m.Version, Topics: slices.Clone(m.Topics), Partitions: slices.Clone(m.Partitions), Stopped: m.Stopped}
}
