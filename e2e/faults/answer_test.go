package faults

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/history"
)

// The interpretation of answers determines what the checker sees. It must neither mistake a
// failure for an outcome nor an outcome for a failure.
func TestAnswersMeanWhatTheySay(t *testing.T) {
	problem := func(kind string) string { return `{"type":"https://clusterlite.dev/problems/` + kind + `"}` }
	const ada = `{"id":"a","version":3,"email":"x","name":"Ada"}`
	for name, c := range map[string]struct {
		o       history.Operation
		status  int
		etag    string
		body    string
		meaning meaning
		outcome history.Outcome
	}{
		"created":                        {history.Operation{Kind: history.Create}, 201, `"3"`, ada, decided, history.Done},
		"created, and the tag differs":   {history.Operation{Kind: history.Create}, 201, `"4"`, ada, wrong, 0},
		"created, and no entity":         {history.Operation{Kind: history.Create}, 201, `"3"`, `[]`, wrong, 0},
		"a create that is only OK":       {history.Operation{Kind: history.Create}, 200, `"3"`, ada, wrong, 0},
		"patched":                        {history.Operation{Kind: history.Patch, ID: "a"}, 200, `"3"`, ada, decided, history.Done},
		"deleted":                        {history.Operation{Kind: history.Delete, ID: "a"}, 204, "", "", decided, history.Done},
		"read":                           {history.Operation{Kind: history.Read, ID: "a"}, 200, `"3"`, ada, decided, history.Done},
		"found":                          {history.Operation{Kind: history.Find, Email: "x"}, 200, "", "[" + ada + "]", decided, history.Done},
		"found no one":                   {history.Operation{Kind: history.Find, Email: "x"}, 200, "", "[]", decided, history.Done},
		"found two":                      {history.Operation{Kind: history.Find, Email: "x"}, 200, "", "[" + ada + "," + ada + "]", wrong, 0},
		"read in the model":              {history.Operation{Kind: history.Read, ID: "a", Model: true}, 200, "", "[" + ada + "]", decided, history.Done},
		"missing in the model":           {history.Operation{Kind: history.Read, ID: "a", Model: true}, 200, "", "[]", decided, history.Missing},
		"two in the model":               {history.Operation{Kind: history.Read, ID: "a", Model: true}, 200, "", "[" + ada + "," + ada + "]", wrong, 0},
		"no model":                       {history.Operation{Kind: history.Read, ID: "a", Model: true}, 404, "", problem("not-found"), wrong, 0},
		"missing":                        {history.Operation{Kind: history.Read, ID: "a"}, 404, "", problem("not-found"), decided, history.Missing},
		"no such collection":             {history.Operation{Kind: history.Read, ID: "a"}, 404, "", problem("unknown-collection"), wrong, 0},
		"taken":                          {history.Operation{Kind: history.Create}, 409, "", problem("unique-taken"), decided, history.Taken},
		"a read can't be taken":          {history.Operation{Kind: history.Read, ID: "a"}, 409, "", problem("unique-taken"), wrong, 0},
		"another version":                {history.Operation{Kind: history.Patch, ID: "a", Match: 1}, 412, `"3"`, problem("version-mismatch"), decided, history.Mismatch},
		"another version, none demanded": {history.Operation{Kind: history.Patch, ID: "a"}, 412, `"3"`, problem("version-mismatch"), wrong, 0},
		"in flight":                      {history.Operation{Kind: history.Create}, 409, "", problem("idempotency-in-flight"), inFlight, 0},
		"unknown":                        {history.Operation{Kind: history.Create}, 503, "", problem("outcome-unknown"), unknown, 0},
		"a read can't be unknown":        {history.Operation{Kind: history.Read, ID: "a"}, 503, "", problem("outcome-unknown"), wrong, 0},
		"broker away":                    {history.Operation{Kind: history.Create}, 503, "", problem("broker-unreachable"), refused, 0},
		"behind":                         {history.Operation{Kind: history.Read, ID: "a"}, 503, "", problem("read-model-behind"), refused, 0},
		"overloaded":                     {history.Operation{Kind: history.Create}, 503, "", problem("overloaded"), refused, 0},
		"not ready":                      {history.Operation{Kind: history.Find}, 503, "", problem("not-ready"), refused, 0},
		"an error of the server":         {history.Operation{Kind: history.Create}, 500, "", problem("internal"), wrong, 0},
		"no problem document":            {history.Operation{Kind: history.Create}, 502, "", "<html>", wrong, 0},
	} {
		r := &http.Response{StatusCode: c.status, Header: http.Header{"Etag": {c.etag}}}
		if a := interpret(c.o, r, []byte(c.body)); a.meaning != c.meaning || a.outcome != c.outcome {
			t.Errorf("%s: got %+v, want meaning %v and outcome %v", name, a, c.meaning, c.outcome)
		}
	}
}

// A write is known as not done only if it could not even be sent.
func TestNoAnswerMeansUnknown(t *testing.T) {
	hangsUp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the request was read, so it may have been carried out
		panic(http.ErrAbortHandler)
	}))
	defer hangsUp.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	s := newSender()
	defer s.close()
	for name, c := range map[string]struct {
		url     string
		kind    history.Kind
		headers []string
		meaning meaning
	}{
		"a write that was sent":                 {hangsUp.URL, history.Create, nil, unknown},
		"a write that could not be sent":        {gone.URL, history.Create, nil, refused},
		"a write with a key, perhaps sent once": {gone.URL, history.Create, []string{"Idempotency-Key: k"}, unknown},
		"a read":                                {hangsUp.URL, history.Find, nil, refused},
	} {
		if a := s.send(c.url, history.Operation{Kind: c.kind, Email: "x", Name: "n"}, c.headers...); a.meaning != c.meaning {
			t.Errorf("%s: got %+v, want meaning %v", name, a, c.meaning)
		}
	}
}

func TestReport(t *testing.T) {
	r := Report{Seed: 7}
	r.add("b", Tally{Injected: 1, Operations: 10, Unknown: 2, Refused: 3})
	r.add("a", Tally{Injected: 2, Operations: 20, Violations: 1})
	r.add("b", Tally{Injected: 1, Operations: 5})
	lines := strings.Split(strings.TrimSpace(r.Markdown()), "\n")
	var cells []string
	for _, line := range lines[len(lines)-3:] {
		cells = append(cells, strings.Join(strings.Fields(line), ""))
	}
	want := []string{"|a|2|20|0|0|1|", "|b|2|15|2|3|0|", "|all|4|35|2|3|1|"}
	if strings.Join(cells, "") != strings.Join(want, "") || !strings.HasPrefix(lines[0], "Seed 7") {
		t.Errorf("got %v, want %v", cells, want)
	}
}
