package cluster

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// A cut affects only two hosts, in either direction.
func TestNetworkCut(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "netns") {
		t.Skip("CLUSTERLITE_E2E does not name netns")
	}
	n := NewNetwork(t)
	a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
	n.Cut(a, b)
	for _, pair := range [][2]*Host{{a, b}, {b, a}} {
		if pair[0].reaches(pair[1].Addr) {
			t.Errorf("%s reaches %s after the cut", pair[0].Name, pair[1].Name)
		}
	}
	for _, pair := range [][2]*Host{{a, c}, {c, a}, {b, c}, {c, b}} {
		if !pair[0].reaches(pair[1].Addr) {
			t.Errorf("%s does not reach %s after the cut", pair[0].Name, pair[1].Name)
		}
	}
	n.Heal()
	if !a.reaches(b.Addr) || !b.reaches(a.Addr) {
		t.Error("the hosts do not reach each other after the heal")
	}
}
