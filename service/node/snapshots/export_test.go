package snapshots

import (
	"testing"
	"time"
)

// Impatient has silent places given up soon, until the test ends.
func Impatient(t testing.TB, atMost time.Duration) {
	before := limits
	t.Cleanup(func() { limits = before })
	limits.Connect, limits.Answer, limits.Stall = atMost, atMost, atMost
}
