package embedded

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// damage does to a folder what disks, file systems and people do. Each number of the plan
// is taken for a choice. It returns what it did.
func damage(files map[string]string, plan func(n int) int) (map[string]string, string) {
	m := maps.Clone(files)
	names := slices.Sorted(maps.Keys(m))
	name := names[plan(len(names))]
	s := []byte(m[name])
	at, n := 0, 0
	if len(s) > 0 {
		at = plan(len(s))
		n = 1 + plan(min(len(s)-at, 200))
	}
	kind := plan(9)
	switch kind {
	case 0:
		if len(s) > 0 {
			s[at] ^= 1 << plan(8)
		}
	case 1: // cut at a byte
		s = s[:at]
	case 2:
		clear(s[at:min(len(s), at+n)])
	case 3: // up to the end, as a file whose last blocks were not written
		clear(s[at:])
	case 4: // cut a range out
		s = slices.Delete(s, at, min(len(s), at+n))
	case 5:
		s = slices.Insert(s, at, s[at:min(len(s), at+n)]...)
	case 6: // two ranges trade places
		if other := 0; len(s) > 1 {
			other = plan(len(s))
			n = min(n, len(s)-at, len(s)-other)
			a, b := slices.Clone(s[at:at+n]), slices.Clone(s[other:other+n])
			copy(s[at:], b)
			copy(s[other:], a)
		}
	case 7:
		delete(m, name)
		return m, "delete " + name
	case 8: // a copy of another file
		other := names[plan(len(names))]
		m[name] = m[other]
		return m, name + " is now " + other
	}
	m[name] = string(s)
	return m, fmt.Sprintf("%s: damage of kind %d at byte %d, %d bytes", name, kind, at, n)
}

// TestDamageLosesNothing damages a folder in many ways. Each time the broker has all that
// was acknowledged, or refuses and leaves the folder as it is.
//
// CLUSTERLITE_DAMAGE=5m goes on for longer, with other seeds each time.
func TestDamageLosesNothing(t *testing.T) {
	killed, stopped, acknowledged := written(t)
	settled := maps.Clone(stopped)
	seed, until := uint64(1), time.Now().Add(4*time.Second)
	if text := os.Getenv("CLUSTERLITE_DAMAGE"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		seed, until = uint64(time.Now().UnixNano()), time.Now().Add(d)
	}
	var refused, started int
	for ; time.Now().Before(until) && !t.Failed(); seed++ {
		random := rand.New(rand.NewPCG(seed, 0))
		files := killed
		if seed%2 == 0 {
			files = stopped
		}
		damaged, what := damage(files, random.IntN)
		if seed%5 == 0 { // two faults, where nothing but the mark could tell
			var also string
			damaged, also = damage(settled, random.IntN)
			damaged, what = damage(damaged, random.IntN)
			what += " and " + also
		}
		if holds(t, damaged, acknowledged) == nil {
			started++
		} else {
			refused++
		}
		if t.Failed() {
			t.Logf("seed %d: %s", seed, what)
		}
	}
	t.Logf("%d started, %d refused", started, refused)
	if started == 0 || refused == 0 {
		t.Errorf("%d started and %d were refused: the damage is not of all kinds", started, refused)
	}
}

// FuzzDamage is the same with damage that a fuzzer chooses.
func FuzzDamage(f *testing.F) {
	killed, _, acknowledged := written(f)
	f.Add([]byte("any damage"))
	for i := range 16 {
		f.Add([]byte(strconv.Itoa(i * 7919)))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		damaged, what := damage(killed, func(n int) int {
			chosen := 0
			for range 4 {
				if len(choices) > 0 {
					chosen = chosen<<8 | int(choices[0])
					choices = choices[1:]
				}
			}
			return chosen % n
		})
		holds(t, damaged, acknowledged)
		if t.Failed() {
			t.Log(what)
		}
	})
}
