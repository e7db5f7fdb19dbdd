package main

import (
	"math"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// stack returns a sample. The innermost function comes first.
func stack(spent int64, functions ...string) *profile.Sample {
	s := &profile.Sample{Value: []int64{1, spent}}
	for _, name := range functions {
		s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: name}}}})
	}
	return s
}

// A sample counts for the innermost step: an allocation counts for the step that allocates, and
// a statement for SQLite rather than for the request that runs it.
func TestDivide(t *testing.T) {
	p := &profile.Profile{Sample: []*profile.Sample{
		stack(30, "runtime.cgocall", "github.com/mattn/go-sqlite3._Cfunc_x", "database/sql.(*DB).x", "github.com/clusterlite/clusterlite/projections.(*P).Entity", "net/http.(*conn).serve"),
		stack(20, "runtime.mallocgc", "github.com/clusterlite/clusterlite/queryapi.write", "net/http.(*conn).serve"),
		stack(40, "syscall.Syscall", "net/http.checkConnErrorWriter.Write", "net/http.(*conn).serve"),
		stack(10, "runtime.sysmon"),
	}}
	got := divide(p)
	for step, want := range map[string]float64{"SQLite and its driver": 0.3, "reads of the API": 0.2, "HTTP server and its sockets": 0.4, other: 0.1} {
		if math.Abs(got[step]-want) > 1e-9 {
			t.Errorf("%s: got %v, want %v", step, got[step], want)
		}
	}
	var page strings.Builder
	if err := write(&page, got, 50); err != nil || !strings.Contains(page.String(), "| HTTP server and its sockets | 20.0 | 40 % |") {
		t.Errorf("got %v and this page, want 20 us of the HTTP server in it\n%s", err, page.String())
	}
}
