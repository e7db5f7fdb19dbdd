package suite

import (
	"encoding/json"
	"fmt"
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

// A description is the target's own OpenAPI description. It finds the operation of a request.
type description struct {
	doc    *openapi3.T
	router routers.Router
	lines  map[string]linesAnswer // by operation id
	err    error
	// extensions holds the parts of the description that openapi3 does not read.
	extensions extensions
}

type extensions struct {
	Paths map[string]map[string]struct {
		OperationID string
		Lines       struct {
			Response linesAnswer
		} `json:"x-ndjson"`
	}
}

// A linesAnswer is what an operation says about answers that consist of lines.
type linesAnswer struct {
	Status     int
	LineSchema json.RawMessage

	schema *openapi3.Schema
}

// lineSchemas reads the schemas of lines. Their references lead to the description's
// components.
func (d description) lineSchemas() (map[string]linesAnswer, error) {
	all := map[string]linesAnswer{}
	components, err := json.Marshal(d.doc.Components)
	if err != nil {
		return nil, err
	}
	for _, item := range d.extensions.Paths {
		for _, operation := range item {
			answer := operation.Lines.Response
			if answer.LineSchema == nil {
				continue
			}
			around := fmt.Sprintf(`{"openapi":"3.1.0","info":{"title":"lines","version":"1"},"components":%s,"paths":{"/":{"get":{"responses":{"200":{"description":"","content":{"application/json":{"schema":%s}}}}}}}}`, components, answer.LineSchema)
			doc, err := openapi3.NewLoader().LoadFromData([]byte(around))
			if err != nil {
				return nil, fmt.Errorf("x-ndjson of %s: %w", operation.OperationID, err)
			}
			answer.schema = doc.Paths.Value("/").Get.Responses.Value("200").Value.Content.Get("application/json").Schema.Value
			all[operation.OperationID] = answer
		}
	}
	return all, nil
}

var descriptions sync.Map // URL → func() description

func describe(url string) description {
	once, _ := descriptions.LoadOrStore(url, sync.OnceValue(func() (d description) {
		var r Response
		if r, d.err = Send("GET", url+"/openapi.json", ""); d.err != nil {
			return d
		}
		if d.err = json.Unmarshal(r.Body, &d.extensions); d.err != nil {
			return d
		}
		if d.doc, d.err = openapi3.NewLoader().LoadFromData(r.Body); d.err != nil {
			return d
		}
		if d.lines, d.err = d.lineSchemas(); d.err != nil {
			return d
		}
		d.doc.Servers = nil // accept any address
		d.router, d.err = gorillamux.NewRouter(d.doc)
		return d
	}))
	return once.(func() description)()
}

// conforms fails the test if the target's description does not cover the answer.
func (target Target) conforms(t testing.TB, request *http.Request, r Response) {
	t.Helper()
	if r.Status == http.StatusRequestURITooLong || r.Status == http.StatusRequestHeaderFieldsTooLarge {
		return // the HTTP server gives it before there is an operation
	}
	d := describe(target.URL)
	if d.err != nil {
		t.Errorf("read the description: %v", d.err)
		return
	}
	asked := request
	if request.Method == http.MethodHead { // the description of GET covers HEAD
		asked = request.Clone(request.Context())
		asked.Method = http.MethodGet
	}
	route, path, err := d.router.FindRoute(asked)
	if err != nil {
		return // the description has no such path or method
	}
	if r.Status == http.StatusOK && r.Header.Get("Content-Type") == ndjson {
		d.linesConform(t, route.Operation, request, r)
		return
	}
	if r.Status == http.StatusOK && request.URL.Query().Has("fields") {
		d.partsConform(t, route.Operation, request, r)
		return
	}
	err = openapi3filter.ValidateResponse(t.Context(), (&openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: path, Route: route},
		Status:                 r.Status, Header: r.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: request.Method == http.MethodHead},
	}).SetBodyBytes(r.Body))
	if err != nil {
		t.Errorf("%s %s: got an answer with status %d that differs from the description: %v", request.Method, clip(request.URL.Path), r.Status, err)
	}
}

// linesConform validates each line of an answer against the operation's extension for lines.
func (d description) linesConform(t testing.TB, operation *openapi3.Operation, request *http.Request, r Response) {
	t.Helper()
	lines, ok := d.lines[operation.OperationID]
	if !ok || lines.Status != r.Status {
		t.Errorf("%s: got lines with status %d, want %+v", operation.OperationID, r.Status, lines)
		return
	}
	for _, line := range strings.FieldsFunc(string(r.Body), func(c rune) bool { return c == '\n' }) {
		d.valueConforms(t, lines.schema, request, json.RawMessage(line))
	}
}

// partsConform validates the entities of a list for which the client selected members. Each
// member must match its schema.
func (d description) partsConform(t testing.TB, operation *openapi3.Operation, request *http.Request, r Response) {
	t.Helper()
	list := operation.Responses.Value("200").Value.Content.Get("application/json")
	if list == nil || request.Method == http.MethodHead {
		return
	}
	var entities []json.RawMessage
	if err := json.Unmarshal(r.Body, &entities); err != nil {
		t.Errorf("%s: got %v, want a list", operation.OperationID, err)
	}
	for _, e := range entities {
		d.valueConforms(t, list.Schema.Value.Items.Value, request, e)
	}
}

// valueConforms fails the test if a value violates a schema. If the client selected members by
// name, a value may lack the others.
func (d description) valueConforms(t testing.TB, schema *openapi3.Schema, request *http.Request, text json.RawMessage) {
	t.Helper()
	if request.URL.Query().Has("fields") {
		part := *schema
		part.Required = nil
		schema = &part
	}
	var value any
	err := json.Unmarshal(text, &value)
	if err == nil {
		err = schema.VisitJSON(value)
	}
	if err != nil {
		t.Errorf("%s %s: got %s, which differs from the description: %v", request.Method, clip(request.URL.Path), clip(string(text)), err)
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
			t.Errorf("got the collections %s, want orders, products and users", got)
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
	t.Run("the documentation page needs no other host", func(t *testing.T) {
		r := target.Do(t, "GET", "/docs", "").Want(t, 200)
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") || !strings.HasPrefix(r.Header.Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("got the header %v, want HTML and a Content-Security-Policy", r.Header)
		}
		files := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllSubmatch(r.Body, -1)
		if len(files) < 3 {
			t.Errorf("got %d files in the page, want at least 3: %s", len(files), r.Body)
		}
		for _, f := range files {
			if path := string(f[1]); !strings.HasPrefix(path, "/docs/") {
				t.Errorf("got the file %s, want only those below /docs/", path)
			} else if r := target.Do(t, "GET", path, "").Want(t, 200); len(r.Body) == 0 {
				t.Errorf("%s: got an empty file", path)
			}
		}
	})
}
