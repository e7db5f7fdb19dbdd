package subjects

import (
	"os"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/bench/load"
)

// Each subject of a read or write row must be able to carry out its workload.
func TestSubjectsHaveTheirLoads(t *testing.T) {
	ids := []string{"1"}
	for _, s := range []Subject{&ClusterLite{IDs: ids}, &rqlite{ids: ids}, &pocketBase{ids: ids}} {
		for _, w := range []load.Workload{load.GetEventual, load.ListEventual, load.Create} {
			if r, ok := s.Requests(w); !ok || r.Method == "" || len(r.Targets) == 0 {
				t.Errorf("%s: got %+v, %t for %d, want a load", s.Name(), r, ok, w)
			}
		}
	}
	if _, ok := (&pocketBase{ids: ids}).Requests(load.GetLinearizable); ok {
		t.Error("PocketBase: got a linearizable read, which it does not offer")
	}
}

// The shipped nginx.conf contains the lines that the cluster replaces with its own.
func TestSiteConf(t *testing.T) {
	shipped, err := os.ReadFile("../../nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	conf, err := siteConf(string(shipped), "/dir", "127.0.0.1:1", []string{"http://q:1", "http://q:2"}, []string{"http://c:1"})
	if err != nil || !strings.Contains(conf, "server q:1") || !strings.Contains(conf, "listen 127.0.0.1:1;") || strings.Contains(conf, "; # (site)") {
		t.Errorf("got %v and this file, want all site lines replaced\n%s", err, conf)
	}
}
