package diagnostics

import (
	"net/http"
	"runtime/pprof"
)

// ServeGoroutines answers with the stacks of all goroutines, as text. Equal stacks are counted.
func ServeGoroutines(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_ = pprof.Lookup("goroutine").WriteTo(w, 1) // it fails only if the client is gone
}
