package sqlmodel

import "time"

// SetTimeout changes how long an event may take.
func SetTimeout(f *File, timeout time.Duration) { f.timeout = timeout }
