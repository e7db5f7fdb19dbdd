package gcs

import (
	"testing"
	"time"
)

// Impatient makes the pauses before retries short, until the test ends.
func Impatient(t testing.TB) {
	before := firstPause
	t.Cleanup(func() { firstPause = before })
	firstPause = time.Millisecond
}
