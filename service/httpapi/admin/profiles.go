package admin

import (
	"net/http"
	"net/http/pprof"
	"strings"
)

const profilesPath = "/debug/pprof/"

// Profiles are the resources of net/http/pprof: CPU, heap, goroutine and other profiles of
// the process, and execution traces, as `go tool pprof` and `go tool trace` read them.
func Profiles() map[string]Methods {
	return map[string]Methods{profilesPath: {http.MethodGet: profile}}
}

func profile(w http.ResponseWriter, r *http.Request) {
	switch strings.TrimPrefix(r.URL.Path, profilesPath) {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		pprof.Index(w, r) // the overview, and the profiles that have a name
	}
}
