package snapshots

import (
	"testing"
	"time"
)

// Impatient shortens the time limits for silent places until the test ends.
func Impatient(t testing.TB, atMost time.Duration) {
	before := limits
	t.Cleanup(func() { limits = before })
	limits.Connect, limits.Answer, limits.Stall = atMost, atMost, atMost
}

// OpenFolder opens a folder as a bucket.
func OpenFolder(path, prefix string) (Bucket, error) { return openFolder(path, path, prefix) }
