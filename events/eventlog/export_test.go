package eventlog

// WaitForBarrier returns how many callers wait for a barrier that is not yet in progress.
func WaitForBarrier(l *Log) int { return l.barriers.Waiting() }

// PauseAfter is [Pause.after].
var PauseAfter = Pause.after

// WaitToBeTaken returns how many appends wait for the broker to take them.
func WaitToBeTaken(l *Log) int {
	l.publisher.mu.Lock()
	defer l.publisher.mu.Unlock()
	return len(l.publisher.waiting)
}
