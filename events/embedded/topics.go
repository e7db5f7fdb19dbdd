package embedded

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// formatVersion is the version of the broker's files.
const formatVersion = 1

// topics is the content of topics.json.
type topics struct {
	Version int     `json:"version"`
	Topics  []topic `json:"topics"`
}

// A topic is one entry of topics.json.
type topic struct {
	Name       string            `json:"name"`
	ID         []byte            `json:"id"`
	Partitions int               `json:"partitions"`
	Replicas   int               `json:"replicas"`
	Configs    map[string]string `json:"configs,omitempty"`
}

// invalid returns what is wrong with the topics, or "" if nothing is.
func (t topics) invalid() string {
	names, ids := map[string]bool{}, map[string]bool{}
	for _, t := range t.Topics {
		switch {
		case t.Name == "" || names[t.Name]:
			return fmt.Sprintf("it lists the topic %q twice, or a topic without a name", t.Name)
		case len(t.ID) != 16 || ids[string(t.ID)]:
			return fmt.Sprintf("the topic %s has no id of its own", t.Name)
		case t.Partitions < 1 || t.Replicas < 1:
			return fmt.Sprintf("the topic %s has %d partitions and %d replicas", t.Name, t.Partitions, t.Replicas)
		}
		names[t.Name], ids[string(t.ID)] = true, true
	}
	return ""
}

// forever reports whether only DeleteRecords removes records of a topic.
func (t topic) forever() bool {
	ms, bytes := t.Configs["retention.ms"], t.Configs["retention.bytes"]
	return ms == "-1" && (bytes == "-1" || bytes == "") && !t.compacted()
}

func (t topic) compacted() bool { return strings.Contains(t.Configs["cleanup.policy"], "compact") }

// sameTopics reports whether two lists have the same topics, in any order.
func sameTopics(a, b []topic) bool {
	order := func(x, y topic) int { return strings.Compare(x.Name, y.Name) }
	a, b = slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order)
	return slices.EqualFunc(a, b, func(x, y topic) bool {
		return x.Name == y.Name && bytes.Equal(x.ID, y.ID) && x.Partitions == y.Partitions && x.Replicas == y.Replicas && maps.Equal(x.Configs, y.Configs)
	})
}

// readStrictly reads a JSON file that may contain only the members of v. It reports whether the
// file exists.
func readStrictly(path string, v any) (there bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(b) == 0 {
		return true, errors.New("it is empty")
	}
	if err := json.Unmarshal(b, new(any)); err != nil { // this also rejects content after the value
		return true, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return true, d.Decode(v)
}

// encode returns the JSON of v. It panics for a value that JSON can't represent.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
