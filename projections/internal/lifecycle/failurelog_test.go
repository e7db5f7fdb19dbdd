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
	told := 0
	for i := range 600 { // ten minutes, a try each second
		if _, due := n.Due(errors.New("disk full"), now.Add(time.Duration(i)*time.Second)); due {
			told++
		}
	}
	if told != 10 {
		t.Errorf("got %d log lines, want 10", told)
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
		t.Errorf("a failure that keeps changing: got %d, want 6 times", changing)
	}
}
