package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A running broker logs damage to a segment, and no client gets a wrong record. The broker still
// serves the undamaged records and accepts writes.
func TestDamageWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	var out logged
	b, err := Start(dir, "127.0.0.1:0", out.logger())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c := client(t, b)
	makeTopic(t, c, "segment.bytes", "1500")
	acknowledged := write(t, c, 0, 40)
	var segments []string
	for name := range contents(t, dir) {
		if strings.HasSuffix(name, segmentSuffix) && name != segmentFile("0.dat") {
			segments = append(segments, name)
		}
	}
	slices.Sort(segments)
	name := filepath.Join(dir, segments[0])
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	first := parseHeader(raw)
	raw[first.length+80] ^= 4 // in the second batch
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}

	reader := client(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{testTopic: {0: kgo.NewOffset().AtStart()}}), kgo.KeepRetryableFetchErrors(), kgo.FetchMaxWait(50*time.Millisecond))
	var got []string
	for err == nil {
		fetches := reader.PollFetches(soon(t))
		got = append(got, values(fetches.Records())...)
		err = fetches.Err()
	}
	if !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("got %v, want %v", err, kerr.KafkaStorageError)
	}
	if want := acknowledged[:first.next()]; !slices.Equal(got, want) {
		t.Errorf("got %d records before the damage, want %d", len(got), len(want))
	}
	said := out.String()
	for _, word := range []string{"ERROR", name, "checksum", "clusterlite snapshot append"} {
		if !strings.Contains(said, word) {
			t.Errorf("got no %q in the log, want it: %s", word, said)
		}
	}
	more := write(t, c, 100, 1)
	reader = client(t, b, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{testTopic: {0: kgo.NewOffset().At(40)}}))
	if got := values(reader.PollFetches(soon(t)).Records()); !slices.Equal(got, more) {
		t.Errorf("after the damage: got %q, want %q", got, more)
	}
	b.Close()
	var damaged *DamagedError
	if _, err := Start(dir, "127.0.0.1:0", out.logger()); !errors.As(err, &damaged) || damaged.File != name {
		t.Errorf("after a restart: got %v, want a DamagedError that names %s", err, name)
	}
}
