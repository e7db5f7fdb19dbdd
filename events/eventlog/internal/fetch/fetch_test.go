package fetch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/events"
)

// batch returns a record batch for the offsets from first to last, with records only at offsets.
// Compaction leaves such batches behind, even without any record.
func batch(first, last int64, offsets ...int64) []byte {
	var records []byte
	for _, o := range offsets {
		r := kmsg.Record{OffsetDelta: int32(o - first), Value: fmt.Append(nil, o)}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // without the length itself, which takes one byte here
		records = r.AppendTo(records)
	}
	b := kmsg.RecordBatch{
		FirstOffset: first, Magic: 2, LastOffsetDelta: int32(last - first), PartitionLeaderEpoch: -1,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(offsets)), Records: records,
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-12))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// Every gap in a log is reported, wherever it is, so that readers account for each offset.
func TestGapsAreReported(t *testing.T) {
	for name, c := range map[string]struct {
		from    int64
		batches [][]byte
		want    []string
	}{
		"nothing":                            {5, nil, nil},
		"none":                               {0, [][]byte{batch(0, 1, 0, 1)}, []string{"0", "1"}},
		"within a batch":                     {0, [][]byte{batch(0, 4, 0, 3)}, []string{"0", "gap to 2", "3", "gap to 4"}},
		"at the start of a batch":            {0, [][]byte{batch(0, 2, 2)}, []string{"gap to 1", "2"}},
		"between batches":                    {0, [][]byte{batch(0, 0, 0), batch(4, 4, 4)}, []string{"0", "gap to 3", "4"}},
		"a batch that is empty":              {0, [][]byte{batch(0, 3)}, []string{"gap to 3"}},
		"an empty one at the end":            {0, [][]byte{batch(0, 0, 0), batch(1, 3)}, []string{"0", "gap to 3"}},
		"read from within it":                {2, [][]byte{batch(0, 4, 0)}, []string{"gap to 4"}},
		"read from within a batch":           {3, [][]byte{batch(0, 4, 0, 1, 3, 4)}, []string{"3", "4"}},
		"a batch that is cut off at the end": {0, [][]byte{batch(0, 0, 0), batch(1, 1, 1)[:40]}, []string{"0"}},
		"a batch that is cut off, by itself": {0, [][]byte{batch(0, 0, 0)[:40]}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Fetcher{topic: "t"}
			messages, err := f.read(&kmsg.FetchResponseTopicPartition{RecordBatches: slices.Concat(c.batches...)}, c.from)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range messages {
				record := m.Record()
				if record.Content == events.NoRecord {
					got = append(got, fmt.Sprintf("gap to %d", record.Offset))
				} else {
					got = append(got, string(m.Value))
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestADamagedBatchIsNoGap(t *testing.T) {
	damaged := batch(0, 3, 0, 1)
	damaged[len(damaged)-1] ^= 1
	f := &Fetcher{topic: "t"}
	if messages, err := f.read(&kmsg.FetchResponseTopicPartition{RecordBatches: damaged}, 0); err == nil {
		t.Fatalf("got %d messages, want an error", len(messages))
	}
	// The records before the damage are read first.
	messages, err := f.read(&kmsg.FetchResponseTopicPartition{RecordBatches: slices.Concat(batch(0, 0, 0), damaged)}, 0)
	if err != nil || len(messages) != 1 || messages[0].Offset != 0 {
		t.Fatalf("got %d messages, %v, want the one before the damage", len(messages), err)
	}
}

func TestAnAnswerMustFollowTheLastRecord(t *testing.T) {
	read := func(from int64, batches ...[]byte) []Offset {
		found, err := (&Fetcher{topic: "t"}).read(&kmsg.FetchResponseTopicPartition{RecordBatches: slices.Concat(batches...)}, from)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	identity := func(o Offset) string { return o.Record().Identity() }
	record, gap := identity(read(3, batch(3, 3, 3))[0]), identity(read(3, batch(2, 3, 2))[0])
	for name, c := range map[string]struct {
		last  string
		found []Offset // from offset 3 on
		want  []int64  // the offsets from 4 on
		fails bool
	}{
		"nothing yet":                    {record, nil, nil, false},
		"only the last record":           {record, read(3, batch(3, 3, 3)), nil, false},
		"further records":                {record, read(3, batch(2, 5, 2, 3, 4, 5)), []int64{4, 5}, false},
		"another record":                 {record, read(4, batch(4, 4, 4)), nil, true},
		"a gap in its place":             {record, read(3, batch(2, 3, 2), batch(4, 4, 4)), nil, true},
		"the same gap":                   {gap, read(3, batch(2, 3, 2), batch(4, 4, 4)), []int64{4}, false},
		"a gap that has become longer":   {gap, read(3, batch(2, 4, 2), batch(5, 5, 5)), []int64{4, 5}, false},
		"a record in the place of a gap": {gap, read(3, batch(3, 4, 3, 4)), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := following(c.found, 4, c.last)
			if replaced := (*ReplacedError)(nil); errors.As(err, &replaced) != c.fails {
				t.Fatalf("got %v, want an error: %t", err, c.fails)
			}
			var got []int64
			for _, o := range found {
				got = append(got, o.Offset)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got the offsets %v, want %v", got, c.want)
			}
		})
	}
}
