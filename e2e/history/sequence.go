package history

import "fmt"

// CheckSequence compares the events that a reader of the change feed got, by their ids, with those of
// an export of the log. The reader must have all of them, once and in order. It may have later ones. The
// result is empty if nothing is wrong.
func CheckSequence(got, exported []string) string {
	for i, want := range exported {
		switch {
		case i == len(got):
			return fmt.Sprintf("it lacks the last %d of %d events, from %s on", len(exported)-i, len(exported), want)
		case got[i] != want:
			return fmt.Sprintf("event %d of %d is %s, want %s", i+1, len(exported), got[i], want)
		}
	}
	return ""
}
