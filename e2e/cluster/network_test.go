package cluster

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestNetwork(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "netns") {
		t.Skip("CLUSTERLITE_E2E does not name netns")
	}
	n := NewNetwork(t)
	a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
	for i, s := range []struct {
		groups [][]*Host
		reach  map[*Host][]*Host
	}{
		{nil, map[*Host][]*Host{a: {b, c}, b: {a, c}, c: {a, b}}},
		{[][]*Host{{a}}, map[*Host][]*Host{a: {}, b: {c}, c: {b}}},
		{[][]*Host{{a, b}, {c}}, map[*Host][]*Host{a: {b}, b: {a}, c: {}}},
		{[][]*Host{{a}, {b}}, map[*Host][]*Host{a: {}, b: {}, c: {}}},
		{nil, map[*Host][]*Host{a: {b, c}, b: {a, c}, c: {a, b}}},
	} {
		n.Partition(s.groups...)
		var tries sync.WaitGroup
		for from, reached := range s.reach {
			for _, to := range n.Hosts {
				if to == from {
					continue
				}
				tries.Go(func() {
					if got, want := from.reaches(to.Addr), slices.Contains(reached, to); got != want {
						t.Errorf("%d: %s reaches %s: got %v, want %v", i, from.Name, to.Name, got, want)
					}
				})
			}
		}
		tries.Wait()
	}
}

// reaches connects to a port without a listener: a host that can be reached refuses the
// connection.
func (h *Host) reaches(addr string) bool {
	binary, args := h.command("bash", "-c", "exec 3<>/dev/tcp/"+addr+"/9")
	binary, args = "timeout", append([]string{"5", binary}, args...)
	out, _ := exec.Command(binary, args...).CombinedOutput()
	return strings.Contains(string(out), "refused")
}
