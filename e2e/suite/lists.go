package suite

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var next = regexp.MustCompile(`^<(/[^>]*)>; rel="next"$`)

// Next returns the path of the next page. It is empty on the last page.
func (r Response) Next(t testing.TB) string {
	t.Helper()
	link := r.Header.Get("Link")
	if link == "" {
		return ""
	}
	m := next.FindStringSubmatch(link)
	if m == nil {
		t.Fatalf("got Link %q, want a link to the next page", link)
	}
	return m[1]
}

// All reads a whole list, page by page.
func (target Target) All(t testing.TB, limit int, headers ...string) []Entity {
	t.Helper()
	return target.pages(t, "/users", limit, headers...)
}

// between reads a list page by page, from the first to the last of some entities. Other clients may write
// entities faster than the pages of a list without an end are read.
func (target Target) between(t testing.TB, some []Entity, limit int) []Entity {
	t.Helper()
	byID := func(a, b Entity) int { return strings.Compare(a.ID, b.ID) }
	first, last := slices.MinFunc(some, byID), slices.MaxFunc(some, byID)
	return target.pages(t, "/users?id[gte]="+first.ID+"&id[lte]="+last.ID, limit)
}

func (target Target) pages(t testing.TB, path string, limit int, headers ...string) []Entity {
	t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	var all []Entity
	for path := fmt.Sprintf("%s%slimit=%d", path, separator, limit); path != ""; {
		r := target.Do(t, "GET", path, "", headers...).Want(t, 200)
		page := r.List(t)
		if path = r.Next(t); path != "" && len(page) != limit {
			t.Fatalf("got a page of %d with a next page, want %d", len(page), limit)
		}
		all = append(all, page...)
	}
	return all
}

func lists(t *testing.T, target Target) {
	var mine []Entity
	for range 7 {
		mine = append(mine, target.Create(t, "Ada"))
	}
	t.Run("pages have everything once, in order of creation", func(t *testing.T) {
		for _, limit := range []int{10_000, 3} {
			seen, last := map[string]int{}, ""
			for _, e := range target.between(t, mine, limit) {
				seen[e.ID]++
				if e.ID <= last {
					t.Fatalf("got %s after %s, want ids in ascending order", e.ID, last)
				}
				last = e.ID
			}
			for _, e := range mine {
				if seen[e.ID] != 1 {
					t.Errorf("limit %d: got %s %d times, want once", limit, e.ID, seen[e.ID])
				}
			}
		}
	})
	t.Run("an entity that stays is seen once whatever is written", func(t *testing.T) {
		stop := make(chan struct{})
		var writer sync.WaitGroup
		writer.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := Send("POST", target.URL+"/users", UserBody("Eve", Email()))
				if err != nil || r.Status != 201 {
					t.Errorf("create: got %d, %v, want 201", r.Status, err)
					return
				}
				if _, err := Send("DELETE", target.URL+r.Header.Get("Location"), ""); err != nil {
					t.Error(err)
				}
			}
		})
		seen := map[string]int{}
		for _, e := range target.between(t, mine, 5) {
			seen[e.ID]++
		}
		close(stop)
		writer.Wait()
		for _, e := range mine {
			if seen[e.ID] != 1 {
				t.Errorf("got %s %d times, want once", e.ID, seen[e.ID])
			}
		}
	})
	t.Run("the default limit is 100", func(t *testing.T) {
		if n := len(target.Do(t, "GET", "/users", "").Want(t, 200).List(t)); n > 100 {
			t.Errorf("got %d entities, want at most 100", n)
		}
	})
	t.Run("bad parameters", func(t *testing.T) {
		for _, query := range []string{
			"limit=0", "limit=-1", "limit=10001", "limit=abc", "limit=", "limit=1.5", "limit=1&limit=2", "limit=99999999999999999999",
			"after=", "after=x", "after=%00", "after=aWQ6eA", "after=" + mine[0].ID, "Limit=1", "limt=1", "x=%zz", "a;b=c",
		} {
			target.Do(t, "GET", "/users?"+query, "").Problem(t, 400, "malformed-request")
		}
		if p := target.Do(t, "GET", "/users?limt=1", "").Problem(t, 400, "malformed-request"); !regexp.MustCompile(`"limit"`).MatchString(p.Detail) {
			t.Errorf("got the detail %q, want the nearest name, limit", p.Detail)
		}
		for _, request := range [][2]string{{"GET", "/users/" + mine[0].ID}, {"POST", "/users"}, {"DELETE", "/users/" + mine[0].ID}} {
			target.Do(t, request[0], request[1]+"?limit=1", "").Problem(t, 400, "malformed-request")
		}
	})
}
