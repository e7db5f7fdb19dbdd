package eventlog

// WaitForBarrier returns how many callers wait for a barrier that is not yet in progress.
func WaitForBarrier(l *Log) int { return l.barriers.Waiting() }

// PauseAfter is [Pause.after].
var PauseAfter = Pause.after
