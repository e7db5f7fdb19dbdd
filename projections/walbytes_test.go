package projections

import (
	"testing"

	"github.com/clusterlite/clusterlite/projections/internal/schema"
	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// maxWALBytes is the maximum average number of bytes that the create of one entity may write to
// the WAL. The entity is a document of 170 bytes with a unique address. It is applied in batches
// of 64 to a table that is large enough for each address to change different pages.
const maxWALBytes = 3 << 9

// maxFileBytes is the maximum number of bytes that such an entity may take in the file.
const maxFileBytes = 500

// The disk space of an entity is the same on all machines, unlike the time that it takes.
func TestWhatAnEntityWrites(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 60,000 entities")
	}
	r := newWALRig(t, t.TempDir(), sqlite.ServingBounds)
	const held = 60_000
	r.g.Writer.Recent.Keep(held/2, 32) // so that claims are already moving to their table
	for r.next < held {
		if err := r.apply(1000); err != nil {
			t.Fatal(err)
		}
	}
	file, err := r.fileBytes()
	if err != nil {
		t.Fatal(err)
	}
	if per := file / r.next; per > maxFileBytes {
		t.Errorf("got %d bytes of the file for each entity, want at most %d", per, maxFileBytes)
	} else {
		t.Logf("%d bytes of the file for each entity", per)
	}
	wal, err := r.walBytes(64, 64*64)
	if err != nil {
		t.Fatal(err)
	}
	if wal > maxWALBytes {
		t.Errorf("got %d bytes of the WAL for each entity, want at most %d", wal, maxWALBytes)
	} else {
		t.Logf("%d bytes of the WAL for each entity", wal)
	}
}

// fileBytes moves the WAL to the file and returns the size of the file.
func (r *walRig) fileBytes() (int64, error) {
	if _, err := r.g.Writer.Conn.ExecContext(r.t.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return 0, err
	}
	return fileSize(r.g.DB.Path)
}

// walBytes applies users in batches and returns how many bytes each of them wrote to the WAL. A
// read that lasts as long keeps the WAL from restarting, so that its size equals what was written.
func (r *walRig) walBytes(batch, users int) (int64, error) {
	s, err := r.g.BeginLongRead(r.t.Context())
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }() // a read has nothing to lose
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
