package lifecycle

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestALastingFailureIsLoggedAgain(t *testing.T) {
	var n FailureLog
	now := time.Unix(1e9, 0)
	lines := 0
	for i := range 600 { // ten minutes with one try a second
		if _, due := n.Due(errors.New("disk full"), now.Add(time.Duration(i)*time.Second)); due {
			lines++
		}
	}
	if lines != 10 {
		t.Errorf("got %d log lines, want 10", lines)
	}
	n.End()
	if _, due := n.Due(errors.New("disk full"), now.Add(10*time.Minute)); !due {
		t.Error("got no log line of a new failure, want one")
	}
	changing := 0
	for i := range 60 {
		if _, due := n.Due(fmt.Errorf("port %d", i), now.Add(20*time.Minute+time.Duration(i)*time.Second)); due {
			changing++
		}
	}
	if changing != 6 {
		t.Errorf("a failure that keeps changing: got %d log lines, want 6", changing)
	}
}
