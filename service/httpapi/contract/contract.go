// Package contract defines what both HTTP APIs promise to clients: the resources and their
// methods, header fields, media types, entity tags, preconditions, consistency levels, and
// query parameters of lists. A proxy sends writes to one service and reads to another, so
// both must agree on all of it.
//
// commands and queryapi import it to read requests and to register their routes, and
// queryapi/openapi to describe them. The programs import it for [Mount].
package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/nearest"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
)

// The header fields that ClusterLite defines, in canonical form.
const (
	// HeaderPosition is the position that a response reflects.
	HeaderPosition = "Clusterlite-Position"
	// HeaderMinPosition makes a read wait for a position.
	HeaderMinPosition = "Clusterlite-Min-Position"
	// HeaderConsistency asks for a consistency, and reports in the response which was given.
	HeaderConsistency = "Clusterlite-Consistency"
	// HeaderHalfDuplex is set by a proxy that stops sending a request as soon as it receives the
	// response. The response to an import then starts after its last line.
	HeaderHalfDuplex = "Clusterlite-Half-Duplex"
)

// The media types of requests and responses.
const (
	JSON        = "application/json"
	MergePatch  = "application/merge-patch+json"
	NDJSON      = "application/x-ndjson"
	EventStream = "text/event-stream" // server-sent events
)

// BeginEventStream sets the header fields of a stream of server-sent events.
func BeginEventStream(h http.Header) {
	h.Set("Content-Type", EventStream)
	h.Set("Cache-Control", "no-cache, no-store") // no-cache is what proxies know streams by
	h.Set("X-Accel-Buffering", "no")             // for Nginx
}

// The resources, with all their methods, whichever service serves them.
var (
	Root        = web.Resource{Path: "/", Methods: readOnly}
	Description = web.Resource{Path: "/openapi.json", Methods: readOnly}
	// Documentation is a page for people, and DocumentationFiles are the files that it loads.
	Documentation      = web.Resource{Path: "/docs", Methods: readOnly}
	DocumentationFiles = web.Resource{Path: "/docs/*", Methods: readOnly}

	// AllChanges and Changes are the change feeds: of all collections, and of one.
	AllChanges = web.Resource{Path: "/changes", Methods: readOnly}
	Changes    = web.Resource{Path: "/:collection/changes", Methods: readOnly}
	// Versions are the versions of an entity, and Version is one of them.
	Versions = web.Resource{Path: "/:collection/:id/versions", Methods: readOnly}
	Version  = web.Resource{Path: "/:collection/:id/versions/:version", Methods: readOnly}

	// Restore makes an earlier version of an entity the current one.
	Restore = web.Resource{
		Path:    "/:collection/:id/restore",
		Methods: []string{http.MethodPost, http.MethodOptions},
		Accepts: map[string][]string{http.MethodPost: {JSON}},
	}

	Collection = web.Resource{
		Path:    "/:collection",
		Methods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions},
		Accepts: map[string][]string{http.MethodPost: {JSON, NDJSON}},
	}
	Entity = web.Resource{
		Path:    "/:collection/:id",
		Methods: []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions},
		Accepts: map[string][]string{http.MethodPut: {JSON}, http.MethodPatch: {MergePatch, JSON}},
	}
)

// Model is a table, view or query of a read model in SQL.
var Model = web.Resource{Path: "/models/:model/:relation", Methods: readOnly}

// Open reports whether the resource at a path contains no data, so that clients need no token
// for it: the list of collections, the description, and its page.
func Open(path string) bool {
	return path == Root.Path || path == Description.Path || path == Documentation.Path || strings.HasPrefix(path, Documentation.Path+"/")
}

var readOnly = []string{http.MethodGet, http.MethodHead, http.MethodOptions}

// Routes are the handlers of one API, by the path of their resource.
type Routes map[string]web.Handlers

// Mount registers all resources with the handlers that the APIs of this process have for
// them. A resource that none of them serves is registered too, so that every process knows
// all methods.
func Mount(e *echo.Echo, apis ...Routes) {
	for _, r := range []web.Resource{Root, Description, Documentation, DocumentationFiles, AllChanges, Changes, Versions, Version, Restore, Collection, Entity, Model} {
		var handlers []web.Handlers
		for _, routes := range apis {
			handlers = append(handlers, routes[r.Path])
		}
		web.Mount(e, r, handlers...)
	}
}

// RequestedConsistency returns the consistency that the client asks for in
// Clusterlite-Consistency. The error is a problem, also for a consistency that is not offered.
func RequestedConsistency(r *http.Request, offered ...events.Consistency) (events.Consistency, error) {
	values := r.Header[HeaderConsistency]
	if len(values) == 0 {
		return events.Unspecified, nil
	}
	if len(values) == 1 {
		if i := slices.Index(offered, events.Consistency(values[0])); i >= 0 {
			return offered[i], nil
		}
	}
	names := make([]string, len(offered))
	for i, c := range offered {
		names[i] = string(c)
	}
	return events.Unspecified, problem.MalformedRequest.New(HeaderConsistency + " must be one of " + strings.Join(names, ", ") + ".")
}

// MinPosition returns the position for which the read must wait, or zero if the client gave
// none. The error is a problem.
func MinPosition(r *http.Request) (int64, error) {
	values := r.Header[HeaderMinPosition]
	if len(values) == 0 {
		return 0, nil
	}
	p, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || p < 0 || len(values) > 1 {
		return 0, problem.MalformedRequest.New(HeaderMinPosition + " must be a position: an integer of at least 0.")
	}
	return p, nil
}

// SetPosition sets the position that the response reflects.
func SetPosition(h http.Header, position int64) {
	text := strconv.FormatInt(position, 10)
	if set := h[HeaderPosition]; len(set) == 1 {
		set[0] = text // a write sets it twice
		return
	}
	h[HeaderPosition] = []string{text}
}

// RejectUnknownParameters returns an error if a query parameter is unknown or given twice. If a
// misspelt filter were ignored, it would match everything. The error is a problem.
func RejectUnknownParameters(r *http.Request, known ...string) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return problem.MalformedRequest.New("The query string is malformed: " + err.Error() + ".")
	}
	for name, values := range query {
		if len(values) > 1 {
			return problem.MalformedRequest.New("The query parameter " + Quote(name) + " must not be given more than once.")
		}
		if !slices.Contains(known, name) {
			return problem.MalformedRequest.New(unknownParameter(name, known))
		}
	}
	return nil
}

func unknownParameter(name string, known []string) string {
	return "Unknown query parameter " + Quote(name) + "." + Nearest(name, known)
}

// Nearest returns a sentence, after a space, that suggests the known name most similar to an
// unknown one, or "" if none is similar.
func Nearest(name string, known []string) string {
	meant, found := nearest.Name(name, known)
	if !found {
		return ""
	}
	return " Did you mean " + strconv.Quote(meant) + "?"
}

// Integer reads the value of a query parameter: an integer from low to high. The error is a problem.
func Integer(name, value string, low, high int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0, problem.MalformedRequest.New(fmt.Sprintf("%s must be an integer from %d to %d.", name, low, high))
	}
	return n, nil
}

// Quote quotes untrusted text for a message, and shortens it.
func Quote(s string) string { return strconv.Quote(clip(s)) }

// clip shortens untrusted text for a message.
func clip(s string) string {
	const maxLength = 60
	if len(s) > maxLength {
		return s[:maxLength] + "…"
	}
	return s
}
