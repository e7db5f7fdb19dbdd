package eventlog

// WaitForBarrier returns how many callers wait for a barrier that is not yet in progress.
func WaitForBarrier(l *Log) int {
	l.barriers.mu.Lock()
	defer l.barriers.mu.Unlock()
	return len(l.barriers.waiting)
}
