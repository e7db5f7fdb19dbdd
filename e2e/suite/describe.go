package suite

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// A description is the target's own, and a way to find the operation of a request.
type description struct {
	doc    *openapi3.T
	router routers.Router
	err    error
}

var descriptions sync.Map // URL → func() description

func init() {
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.PlainBodyDecoder)
}

func describe(url string) description {
	once, _ := descriptions.LoadOrStore(url, sync.OnceValue(func() (d description) {
		var r Response
		if r, d.err = Send("GET", url+"/openapi.json", ""); d.err != nil {
			return d
		}
		if d.doc, d.err = openapi3.NewLoader().LoadFromData(r.Body); d.err != nil {
			return d
		}
		d.doc.Servers = nil // any address
		d.router, d.err = gorillamux.NewRouter(d.doc)
		return d
	}))
	return once.(func() description)()
}

// conforms fails the test if an answer is none that the description of the target has.
func (target Target) conforms(t testing.TB, request *http.Request, r Response) {
	t.Helper()
	if r.Status == http.StatusRequestURITooLong || r.Status == http.StatusRequestHeaderFieldsTooLarge {
		return // given by whoever reads the request, before there is an operation
	}
	d := describe(target.URL)
	if d.err != nil {
		t.Fatalf("the description: %v", d.err)
	}
	route, path, err := d.router.FindRoute(request)
	if err != nil {
		return // no such path, or not with this method
	}
	err = openapi3filter.ValidateResponse(t.Context(), (&openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: path, Route: route},
		Status:                 r.Status, Header: r.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}).SetBodyBytes(r.Body))
	if err != nil {
		t.Errorf("%s %s: the answer %d is not as the API describes itself: %v", request.Method, clip(request.URL.Path), r.Status, err)
	}
}

func selfDescription(t *testing.T, target Target) {
	t.Run("the root lists the collections", func(t *testing.T) {
		var root struct {
			Collections []struct{ Name, Href, Description string }
			Description string
		}
		if err := json.Unmarshal(target.Do(t, "GET", "/", "").Want(t, 200).Body, &root); err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, c := range root.Collections {
			names = append(names, c.Name)
			target.Do(t, "GET", c.Href+"?limit=1", "").Want(t, 200)
		}
		if got := strings.Join(names, " "); got != "orders products users" {
			t.Errorf("the collections are %s", got)
		}
		target.Do(t, "GET", root.Description, "").Want(t, 200)
		target.Do(t, "POST", "/", "{}").Problem(t, 405, "method-not-allowed")
		target.Do(t, "DELETE", "/openapi.json", "").Problem(t, 405, "method-not-allowed")
		target.Do(t, "GET", "/?x=1", "").Problem(t, 400, "malformed-request")
	})
	t.Run("the description is valid", func(t *testing.T) {
		d := describe(target.URL)
		if d.err != nil {
			t.Fatal(d.err)
		}
		if err := d.doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
			t.Error(err)
		}
	})
	t.Run("the page for people needs no other host", func(t *testing.T) {
		r := target.Do(t, "GET", "/docs", "").Want(t, 200)
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("header %v", r.Header)
		}
		files := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllSubmatch(r.Body, -1)
		if len(files) < 3 {
			t.Errorf("the page names %d files: %s", len(files), r.Body)
		}
		for _, f := range files {
			if path := string(f[1]); !strings.HasPrefix(path, "/docs/") {
				t.Errorf("it needs %s", path)
			} else if r := target.Do(t, "GET", path, "").Want(t, 200); len(r.Body) == 0 {
				t.Errorf("%s is empty", path)
			}
		}
	})
}
