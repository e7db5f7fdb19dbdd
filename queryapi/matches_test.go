package queryapi_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/queryapi/changes"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// Texts and other values that documents and filters share, so that they are often equal.
var (
	filterTexts = []string{"", "a", "ab", "Ab", "B", "ä", "Ä", "straße", "STRASSE", "5", "5.0", "1", "true", "null", "a\x00b", "\U0001f600", "{}", "2026-01-01T00:00:00Z", "%_", "é", "e\u0301"}
	filterJSON  = []string{`null`, `true`, `false`, `0`, `-0`, `1`, `5`, `5.0`, `50e-1`, `-1`, `0.1`, `1e-1`, `0.10000000000000000001`, `0.226040073496585572377533184419157460`, `1e3`, `1000`, `1E+3`,
		`9007199254740993`, `9007199254740992.0`, `9223372036854775807`, `9223372036854775808`, `-9223372036854775808`, `123456789012345678901234567890`, `1e400`, `-1e400`, `1e-400`, `5e-324`, `2.5`, `123456789012345`, `1234567890123456`, `8.5e9`,
		`{}`, `{"a":1}`, `[]`, `[5]`, `"\u0061b"`, `"a\/b"`, `"\ud83d\ude00"`, `" 5"`, `"5 "`, `"1e3"`, `"0x10"`}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// randomTask returns a document. Half of its members are of their declared types.
func randomTask(r *rand.Rand) string {
	text := func() string {
		return `"` + strings.NewReplacer("\x00", `\u0000`).Replace(pick(r, filterTexts)) + `"`
	}
	number := func() string { return pick(r, filterJSON[3:31]) }
	typed := map[string]func() string{
		"due": text, "mail": text, "title": text, "n": number, "weight": number, "done": func() string { return pick(r, filterJSON[1:3]) },
	}
	var members []string
	for _, name := range []string{"due", "mail", "title", "n", "weight", "done"} {
		switch r.IntN(6) {
		case 0: // missing
		case 1:
			members = append(members, `"`+name+`":`+pick(r, filterJSON))
		case 2:
			members = append(members, `"`+name+`":`+text())
		default:
			members = append(members, `"`+name+`":`+typed[name]())
		}
	}
	return `{` + strings.Join(members, `,`) + `}`
}

// randomFilter returns a query string. Some of them are invalid.
func randomFilter(r *rand.Rand, id string) string {
	name := pick(r, []string{"due", "mail", "title", "n", "weight", "done", "n", "weight", "mail", "id", "version", "created_at", "updated_at"})
	value := func() string {
		switch name {
		case "n", "weight":
			return pick(r, filterJSON[3:31])
		case "done":
			return pick(r, filterJSON[1:3])
		case "id":
			return pick(r, []string{id, id[:20], "0", "f", strings.ToUpper(id)})
		case "version":
			return fmt.Sprint(r.IntN(4))
		case "created_at", "updated_at":
			return pick(r, []string{"2026-11-24T12:00:00Z", "2026-11-24T12:00:05.0000001Z", "2026-11-24T12:00:09Z", "2026-11-24T12:00:30Z"})
		}
		return pick(r, filterTexts)
	}
	op := pick(r, []string{"", "[gt]", "[gte]", "[lt]", "[lte]", "[ne]", "[in]", "[exists]", "[prefix]"})
	v := value()
	switch op {
	case "[in]":
		v = strings.Join([]string{v, value(), value()}, ",")
	case "[exists]":
		v = pick(r, []string{"true", "false"})
	}
	if name == "id" && op == "" {
		op = "[in]" // id alone is a parameter of the feed
	}
	return url.QueryEscape(name+op) + "=" + url.QueryEscape(v)
}

// For random documents and filters, the feed has the events of the entities that a list has, and the
// list at the end of the log has the entities of the list.
func TestFilteredChangesAgreeWithLists(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test
	n := newNodeOf(t, declared(t, map[string]string{"tasks": tasks + `,"title":{"type":"string"}`}))
	var ids []string
	var batch []events.Event
	event := func(id string, kind events.Kind, version int64, second int) events.Event {
		return events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "tasks", EntityID: id, Kind: kind, Version: version,
			Time: time.Date(2026, 11, 24, 12, 0, second, 0, time.UTC), Document: []byte(randomTask(r)),
		}
	}
	for i := range 150 {
		id := uuid.Must(uuid.NewV7()).String()
		ids = append(ids, id)
		batch = append(batch, event(id, events.Created, 1, i%20))
	}
	n.append(batch...)
	// A third has a second version. The feed from there on has only these.
	half := len(batch)
	batch = nil
	for i := 0; i < len(ids); i += 3 {
		batch = append(batch, event(ids[i], events.Updated, 2, 20+i%20))
	}
	n.append(batch...)
	matched, not := 0, 0
	for range 600 {
		filter := randomFilter(r, pick(r, ids))
		if r.IntN(3) == 0 {
			filter += "&" + randomFilter(r, pick(r, ids))
		}
		response := servicetest.Do(n, "GET", "/tasks?limit=10000&"+filter, "")
		feed := servicetest.Do(n, "GET", "/tasks/changes?limit=10000&offset="+fmt.Sprint(half)+"&"+filter, "")
		if response.StatusCode != feed.StatusCode {
			t.Fatalf("%s: got %d, and %d for the list", filter, feed.StatusCode, response.StatusCode)
		}
		if response.StatusCode != 200 {
			continue
		}
		want := map[string]bool{}
		for _, id := range n.ids("/tasks?limit=10000&"+filter, nil) {
			want[id] = true
		}
		var got []string
		all, _ := n.changes("/tasks/changes?limit=10000&offset=" + fmt.Sprint(half) + "&" + filter)
		for _, c := range all {
			got = append(got, c.Subject)
		}
		for i := 0; i < len(ids); i += 3 {
			if has := slices.Contains(got, ids[i]); has != want[ids[i]] {
				t.Fatalf("%s of %s: the feed says %t, the list %t", filter, batch[i/3].Document, has, want[ids[i]])
			}
			if want[ids[i]] {
				matched++
			} else {
				not++
			}
		}
	}
	t.Logf("%d matched, %d did not", matched, not)
	if matched < 2000 || not < 2000 {
		t.Errorf("got %d that match and %d that do not: the filters are too much alike to show anything", matched, not)
	}
}

// A deletion matches by the entity before it, and an update that leaves the filter is not shown.
func TestFilteredChanges(t *testing.T) {
	n := newFeed(t, changes.Timing{Poll: 20 * time.Second})
	a, b := uuid.NewString(), uuid.NewString()
	write := func(id string, kind events.Kind, version int64, name string) {
		n.append(events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "users", EntityID: id, Kind: kind, Version: version,
			Time: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Document: documentOf(kind, id, name),
		})
	}
	write(a, events.Created, 1, "Ada")
	write(b, events.Created, 1, "Bob")
	write(a, events.Updated, 2, "Eve")
	write(b, events.Deleted, 2, "")
	write(a, events.Updated, 3, "Ada")
	for path, want := range map[string][]string{
		"name=Ada":                                     {"1", "5"},
		"name=Bob":                                     {"2", "4"},
		"name[ne]=Bob&version[gt]=1":                   {"3", "5"},
		"id[in]=" + b + "&type=deleted":                {"4"},
		"created_at=2026-11-24T12:00:00Z":              {"1", "2", "3", "4", "5"},
		"created_at[gt]=2026-11-24T12:00:00Z":          nil,
		"name=Ada&previous=true&offset=1":              {"5"},
		"email=" + strings.ToUpper(a) + "@EXAMPLE.com": {"1", "3", "5"},
	} {
		got, r := n.changes("/users/changes?" + path)
		if !slices.Equal(positions(got), want) || r.Header.Get("Stream-Next-Offset") != "0000000000000005" {
			t.Errorf("%s: got %v up to %s, want %v up to 5", path, positions(got), r.Header.Get("Stream-Next-Offset"), want)
		}
	}
	// What matches may change with the collection's definition, so no cache may keep it for ever.
	if _, r := n.changes("/users/changes?name=Ada&limit=1"); r.Header.Get("Cache-Control") != "no-cache" || r.Header.Get("Stream-Next-Offset") != "0000000000000001" {
		t.Errorf("a full answer: got header %v", r.Header)
	}
	for _, path := range []string{
		"/users/changes?sort=name", "/users/changes?count=true", "/users/changes?fields=name", "/users/changes?after=x", "/users/changes?nam=Ada",
		"/users/changes?version=x", "/changes?name=Ada", "/users/changes?name[in]=a&name[in]=b",
	} {
		n.get(strings.NewReplacer("[", "%5B", "]", "%5D").Replace(path), 400)
	}
	// A long poll passes changes that do not match.
	found := make(chan []change)
	go func() {
		got, _ := n.changes("/users/changes?name=Zoe&live=long-poll&offset=now")
		found <- got
	}()
	for i := int64(4); ; i++ {
		write(a, events.Updated, i, "Zoe")
		select {
		case got := <-found:
			if len(got) == 0 || !strings.Contains(string(got[0].Data), "Zoe") {
				t.Errorf("got %v, want the change of Zoe", got)
			}
			return
		case <-time.After(50 * time.Millisecond):
			i++
			write(a, events.Updated, i, "Ada")
		}
	}
}

// documentOf returns the document of a user. A deletion has none.
func documentOf(kind events.Kind, id, name string) []byte {
	if kind == events.Deleted {
		return nil
	}
	return fmt.Appendf(nil, `{"name":%q,"email":"%s@example.com"}`, name, id)
}
