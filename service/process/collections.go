package process

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// minGrowth is the minimum growth of the heap, in bytes, before the next garbage collection. By
// default, Go collects a heap once it has doubled. The heap of a small store is about 10 MiB, so
// under load it was collected a dozen times a second, which took a tenth of the CPU time of a
// write.
const minGrowth = 32 << 20

// paceCollections makes the garbage collector wait until the heap has grown by minGrowth, or has
// doubled if that is more. It costs at most minGrowth of memory. It does nothing if GOGC is set,
// because then the operator has decided.
func paceCollections() {
	if os.Getenv("GOGC") != "" {
		return
	}
	percent := 100
	// A sentinel is garbage at once, so its finalizer runs after the next collection. It has a
	// pointer because Go packs small values without pointers together, and may never free them.
	type sentinel struct{ _ *byte }
	var pace func(*sentinel)
	pace = func(*sentinel) {
		if wanted := gcPercent(liveHeap()); wanted > percent+percent/10 || wanted < percent-percent/10 {
			percent = wanted
			debug.SetGCPercent(percent)
		}
		runtime.SetFinalizer(new(sentinel), pace)
	}
	pace(nil)
}

// gcPercent returns the growth after which a heap with so many live bytes is collected, in
// percent of them.
func gcPercent(live uint64) int {
	const double, highest = 100, 1000
	if live >= minGrowth {
		return double
	}
	return min(int(double*minGrowth/max(live, 1)), highest)
}

// liveHeap returns the number of bytes that the last collection found in use.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
