package overview

import (
	"strings"
	"testing"
)

func TestProblemsNameADiskThatIsAlmostFull(t *testing.T) {
	for name, c := range map[string]struct {
		disk *Disk
		want bool
	}{
		"unknown":                {nil, false},
		"full":                   {&Disk{Free: 0, Size: 1e12}, true},
		"little of much":         {&Disk{Free: 1e9, Size: 1e12}, true},
		"little, but not of few": {&Disk{Free: 1e9, Size: 4e9}, false},
		"a small part, but much": {&Disk{Free: 10e9, Size: 1e12}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(problemsOfNodes([]Node{{Node: "query-1", State: Ready, Disk: c.disk}}, Topic{}), "\n")
			if strings.Contains(got, "the disk of node query-1 has") != c.want {
				t.Errorf("got %q, want the disk in it: %v", got, c.want)
			}
		})
	}
}
