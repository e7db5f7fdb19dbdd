package projections

import (
	"testing"

	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// walBytesFloor is the most that one created entity may write to the WAL, on average: a
// document of 170 bytes with a unique address, applied in batches of 64 to a table that is
// large enough for each address to change pages of its own.
const walBytesFloor = 3 << 10

// fileBytesFloor is the most room that such an entity may take in the file.
const fileBytesFloor = 500

// What an entity costs on the disk is the same on all machines, unlike the time that it takes.
func TestWhatAnEntityWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 60,000 entities")
	}
	r := newWALRig(t, t.TempDir(), sqlite.ServingBounds)
	const held = 60_000
	for r.next < held {
		if err := r.apply(1000); err != nil {
			t.Fatal(err)
		}
	}
	file, err := r.fileBytes()
	if err != nil {
		t.Fatal(err)
	}
	if per := file / r.next; per > fileBytesFloor {
		t.Errorf("the file takes %d bytes an entity, want at most %d", per, fileBytesFloor)
	} else {
		t.Logf("the file takes %d bytes an entity", per)
	}
	wal, err := r.walBytes(64, 64*64)
	if err != nil {
		t.Fatal(err)
	}
	if wal > walBytesFloor {
		t.Errorf("an entity writes %d bytes to the WAL, want at most %d", wal, walBytesFloor)
	} else {
		t.Logf("an entity writes %d bytes to the WAL", wal)
	}
}

// fileBytes gives the size of the file with all that was written in it.
func (r *walRig) fileBytes() (int64, error) {
	if _, err := r.g.Writer.Conn.ExecContext(r.t.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return 0, err
	}
	return fileSize(r.g.DB.Path)
}

// walBytes applies users in batches and gives how many bytes of WAL each has written. A read
// that lasts as long keeps the WAL from starting again, so that its size is what was written.
func (r *walRig) walBytes(batch, users int) (int64, error) {
	s, err := r.g.BeginLongRead(r.t.Context())
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }() // it only read
	before, err := r.frames()
	if err != nil {
		return 0, err
	}
	for range users / batch {
		if err := r.apply(batch); err != nil {
			return 0, err
		}
	}
	after, err := r.frames()
	const frameHeader = 24
	return (after - before) * (schema.PageSize + frameHeader) / int64(users), err
}

func (r *walRig) frames() (int64, error) {
	var state sqlite.WALState
	err := r.g.Writer.Conn.GetContext(r.t.Context(), &state, `PRAGMA wal_checkpoint(NOOP)`)
	return state.Frames, err
}
