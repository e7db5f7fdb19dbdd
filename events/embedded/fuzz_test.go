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

// damage damages the files of a folder as disks, file systems and people do. It makes each choice
// with plan, which returns a number below n. It returns the damaged files and a description of
// the damage.
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
	case 3: // clear up to the end, as in a file whose last blocks were not written
		clear(s[at:])
	case 4: // cut a range out
		s = slices.Delete(s, at, min(len(s), at+n))
	case 5:
		s = slices.Insert(s, at, s[at:min(len(s), at+n)]...)
	case 6: // swap two ranges
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

// TestDamageLosesNothing damages a folder in many ways. Each time the broker must have all
// acknowledged records, or refuse to start and leave the folder unchanged.
//
// CLUSTERLITE_DAMAGE=5m runs for longer, with different seeds each time.
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
		if seed%5 == 0 { // two faults, which only the mark may reveal
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
		t.Errorf("got %d starts and %d refusals, want some of both", started, refused)
	}
}

// FuzzDamage is like TestDamageLosesNothing, but the fuzzer chooses the damage.
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
