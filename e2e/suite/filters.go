package suite

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A Product is an entity of the second collection of the examples.
type Product struct {
	ID      string   `json:"id,omitempty"`
	SKU     string   `json:"sku"`
	Name    string   `json:"name"`
	Price   float64  `json:"price"`
	Stock   *int     `json:"stock,omitempty"`
	SoldOut *bool    `json:"sold_out,omitempty"`
	Tags    []string `json:"tags,omitempty"`
}

// SKU returns a stock keeping unit that no other test has used.
func SKU() string { return strings.ToUpper(strconv.FormatInt(run+counter.Add(1), 36)) }

func marshal(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// products creates products whose names start with the given prefix.
func (target Target) products(t *testing.T, prefix string) []Product {
	t.Helper()
	var all []Product
	for i := range 12 {
		p := Product{SKU: SKU(), Name: fmt.Sprintf("%s%c", prefix, 'a'+i%4), Price: float64(i%5) + 0.5}
		if i%3 > 0 {
			stock, out := i, i%2 == 0
			p.Stock, p.SoldOut = &stock, &out
		}
		if i == 11 {
			p.Tags = []string{"x", "y,z"}
		}
		r := target.Do(t, "POST", "/products", marshal(t, p)).Want(t, 201)
		if err := json.Unmarshal(r.Body, &p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// ids reads the ids of a whole list, page by page. It follows the links.
func (target Target) ids(t testing.TB, path string, headers ...string) []string {
	t.Helper()
	ids := []string{}
	for pages := 0; path != ""; pages++ {
		r := target.Do(t, "GET", path, "", headers...).Want(t, 200)
		var page []Product
		if err := json.Unmarshal(r.Body, &page); err != nil {
			t.Fatal(err)
		}
		for _, p := range page {
			ids = append(ids, p.ID)
		}
		if path = r.Next(t); pages > 100 {
			t.Fatal("got more than 100 pages, want an end of the list")
		}
	}
	return ids
}

func filters(t *testing.T, target Target) {
	prefix := fmt.Sprintf("n%d.%d ", run, counter.Add(1))
	all := target.products(t, prefix)
	ours := "name[prefix]=" + url.QueryEscape(prefix)
	stock := func(p Product) int {
		if p.Stock == nil {
			return -1 // a missing value sorts first
		}
		return *p.Stock
	}
	// Each query has a function that states the same condition in Go.
	for query, keep := range map[string]func(Product) bool{
		"":                                    func(Product) bool { return true },
		"price=2.5":                           func(p Product) bool { return p.Price == 2.5 },
		"price[gt]=2.5":                       func(p Product) bool { return p.Price > 2.5 },
		"price[gte]=2.5&price[lt]=4":          func(p Product) bool { return p.Price >= 2.5 && p.Price < 4 },
		"price[lte]=1.5":                      func(p Product) bool { return p.Price <= 1.5 },
		"price[ne]=0.5":                       func(p Product) bool { return p.Price != 0.5 },
		"price[in]=0.5,4.5,77":                func(p Product) bool { return p.Price == 0.5 || p.Price == 4.5 },
		"stock[gte]=4":                        func(p Product) bool { return stock(p) >= 4 },
		"stock[ne]=4":                         func(p Product) bool { return stock(p) != 4 },
		"sold_out=true":                       func(p Product) bool { return p.SoldOut != nil && *p.SoldOut },
		"sold_out=false&stock[lt]=8":          func(p Product) bool { return p.SoldOut != nil && !*p.SoldOut && stock(p) < 8 },
		"name=" + url.QueryEscape(prefix+"b"): func(p Product) bool { return p.Name == prefix+"b" },
		"sku[in]=" + all[3].SKU + "," + all[7].SKU:    func(p Product) bool { return p.SKU == all[3].SKU || p.SKU == all[7].SKU },
		"id[gt]=" + all[5].ID:                         func(p Product) bool { return p.ID > all[5].ID },
		"version[gte]=2":                              func(Product) bool { return false },
		"created_at[lt]=2000-01-01T00:00:00Z":         func(Product) bool { return false },
		"updated_at[gte]=2000-01-01T00:00:00%2B02:00": func(Product) bool { return true },
	} {
		for sorting, compare := range map[string]func(a, b Product) int{
			"":    func(a, b Product) int { return strings.Compare(a.ID, b.ID) },
			"-id": func(a, b Product) int { return strings.Compare(b.ID, a.ID) },
			"price,-name": func(a, b Product) int {
				return 10*cmpFloat(a.Price, b.Price) + 2*strings.Compare(b.Name, a.Name) + sign(strings.Compare(b.ID, a.ID))
			},
			"-stock": func(a, b Product) int { return 2*(stock(b)-stock(a)) + sign(strings.Compare(b.ID, a.ID)) },
			"stock":  func(a, b Product) int { return 2*(stock(a)-stock(b)) + sign(strings.Compare(a.ID, b.ID)) },
		} {
			want := []string{}
			sorted := slices.Clone(all)
			slices.SortFunc(sorted, compare)
			for _, p := range sorted {
				if keep(p) {
					want = append(want, p.ID)
				}
			}
			path := "/products?" + ours + "&count=true&limit=5"
			if query != "" {
				path += "&" + query
			}
			if sorting != "" {
				path += "&sort=" + sorting
			}
			if got := target.ids(t, path); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", path, got, want)
			}
			if got := target.Do(t, "HEAD", path, "").Want(t, 200).Header.Get("Total-Count"); got != strconv.Itoa(len(want)) {
				t.Errorf("%s: Total-Count %s, want %d", path, got, len(want))
			}
		}
	}
	t.Run("a sort ends at the id, wherever it is", func(t *testing.T) {
		want := []string{}
		for _, p := range all {
			want = append([]string{p.ID}, want...)
		}
		if got := target.ids(t, "/products?"+ours+"&limit=5&sort=-id,name"); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	t.Run("an entity that stays is seen once by any sort", func(t *testing.T) { target.pagesUnderWrites(t) })
	t.Run("fields", func(t *testing.T) {
		r := target.Do(t, "GET", "/products?"+ours+"&sort=id&limit=1&fields=tags,price,id", "").Want(t, 200)
		if want := fmt.Sprintf(`[{"id":%q,"price":0.5}]`, all[0].ID); string(r.Body) != want {
			t.Errorf("got %s, want %s", r.Body, want)
		}
	})
	t.Run("nested members are returned unchanged", func(t *testing.T) {
		body := `{"number":` + strconv.FormatInt(run/1000+counter.Add(1), 10) + `,"status":"open","lines":[{"sku":"A","quantity":2,"price":1.10},{"sku":"B","quantity":1}]}`
		r := target.Do(t, "POST", "/orders", body).Want(t, 201)
		if !strings.HasSuffix(string(r.Body), body[1:]) {
			t.Errorf("got %s, want it to end with the document that was sent", r.Body)
		}
		target.Do(t, "POST", "/orders", body).Problem(t, 409, "unique-taken")
		p := target.Do(t, "POST", "/orders", `{"number":0,"status":"x","lines":[{"sku":"A"}]}`).Problem(t, 422, "invalid-document")
		pointers := []string{}
		for _, e := range p.Errors {
			pointers = append(pointers, e.Pointer)
		}
		if !slices.Equal(pointers, []string{"/lines/0/quantity", "/number", "/status"}) {
			t.Errorf("got errors for the members %v, want /lines/0/quantity, /number and /status", pointers)
		}
	})
	t.Run("bad filters", func(t *testing.T) {
		for _, query := range []string{
			"price=x", "price=", "price=0x10", "price=NaN", "price=\"1\"", "stock=1.5", "stock=true", "sold_out=yes", "sold_out=1", "created_at=yesterday", "created_at=2026-11-24T1:00:00Z", "created_at=2026-11-24T12:00:00,5Z", "created_at=2026-11-24T12:00:00%2B24:00",
			"price[prefix]=1", "price[like]=1", "price[]=1", "price[gt]=1&price[gt]=2", "pric=1", "tags=x", "tags[in]=x", "size=1",
			"sort=", "sort=colour", "sort=name,name", "sort=-", "sort=tags", "sort=name;drop", "fields=", "fields=id,colour", "fields=id,id", "count=yes", "count=", "name=%ff",
			"after=e30", "sort=name&after=" + cursorOf(t, target, "/products?limit=1&sort=price"),
		} {
			t.Run(query, func(t *testing.T) { target.Do(t, "GET", "/products?"+query, "").Problem(t, 400, "malformed-request") })
		}
		for query, nearest := range map[string]string{"pric=1": `"price"`, "sort=nam": `"name"`, "fields=skuu": `"sku"`, "price[gtee]=1": `"price[gte]"`} {
			if p := target.Do(t, "GET", "/products?"+query, "").Problem(t, 400, "malformed-request"); !strings.Contains(p.Detail, nearest) {
				t.Errorf("%s: got the detail %s, want %s in it", query, p.Detail, nearest)
			}
		}
	})
	t.Run("an unchanged list is not sent again", func(t *testing.T) {
		for range 50 { // other clients may write in between
			first := target.Do(t, "GET", "/products?limit=3", "").Want(t, 200)
			tag := first.Header.Get("ETag")
			if !regexp.MustCompile(`^W/"[^"]+"$`).MatchString(tag) {
				t.Fatalf("got the tag %s, want a weak one", tag)
			}
			again := target.Do(t, "GET", "/products?limit=3", "", "If-None-Match: "+tag)
			if again.Status != 304 { // this must happen only if the collection has changed
				if again.Want(t, 200); again.Header.Get("ETag") == tag {
					t.Fatalf("got the list again with the same tag %s, want 304", tag)
				}
				continue
			}
			target.products(t, prefix+"z")
			target.Do(t, "GET", "/products?limit=3", "", "If-None-Match: "+tag).Want(t, 200)
			return
		}
		t.Error("got 50 lists that changed between two requests, want one that did not")
	})
}

// pagesUnderWrites reads lists page by page while every other entity is changed.
func (target Target) pagesUnderWrites(t *testing.T) {
	prefix := fmt.Sprintf("p%d.%d ", run, counter.Add(1))
	all := target.products(t, prefix)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	defer writer.Wait()
	defer close(stop)
	writer.Go(func() {
		for i := 0; ; i += 2 {
			select {
			case <-stop:
				return
			default:
			}
			patch := fmt.Sprintf(`{"name":"%s%c","price":%d,"stock":%d}`, prefix, 'a'+i%7, i%5, i%11)
			if r, err := Send("PATCH", target.URL+"/products/"+all[i%len(all)].ID, patch); err != nil || r.Status != 200 {
				t.Errorf("change: got %d, %v, want 200: %s", r.Status, err, r.Body)
				return
			}
		}
	})
	for _, sorting := range []string{"name", "-price", "stock,-name", "-updated_at", "-sold_out,price"} {
		seen := map[string]int{}
		for _, id := range target.ids(t, "/products?name[prefix]="+url.QueryEscape(prefix)+"&limit=2&sort="+sorting) {
			seen[id]++
		}
		for i := 1; i < len(all); i += 2 {
			if seen[all[i].ID] != 1 {
				t.Errorf("sort %s: got %s %d times, want once", sorting, all[i].ID, seen[all[i].ID])
			}
		}
	}
}

func cursorOf(t testing.TB, target Target, path string) string {
	t.Helper()
	next := target.Do(t, "GET", path, "").Want(t, 200).Next(t)
	u, err := url.Parse(next)
	if err != nil || u.Query().Get("after") == "" {
		t.Fatalf("got the next page %q, %v, want one with a cursor", next, err)
	}
	return u.Query().Get("after")
}

func sign(n int) int { return max(-1, min(1, n)) }

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
