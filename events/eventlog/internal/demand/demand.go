// Package demand knows which records callers wait for.
package demand

import "sync/atomic"

// A Demand is the offset up to which callers wait for records. Create it with [New]. Safe for
// concurrent use.
type Demand struct {
	end atomic.Int64
	// More gets a token when the offset has grown.
	More chan struct{}
}

// New returns a demand for nothing.
func New() *Demand { return &Demand{More: make(chan struct{}, 1)} }

// From reports whether a caller waits for the record at this offset, or for a later one.
func (d *Demand) From(next int64) bool { return d.end.Load() > next }

// UpTo adds a caller that waits for all records before this offset.
func (d *Demand) UpTo(end int64) {
	for {
		before := d.end.Load()
		if end <= before {
			return
		}
		if d.end.CompareAndSwap(before, end) {
			break
		}
	}
	select {
	case d.More <- struct{}{}:
	default:
	}
}
