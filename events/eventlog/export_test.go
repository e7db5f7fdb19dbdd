package eventlog

// WaitForBarrier tells how many callers wait for a barrier that is not under way yet.
func WaitForBarrier(l *Log) int {
	l.barriers.mu.Lock()
	defer l.barriers.mu.Unlock()
	return len(l.barriers.waiting)
}
