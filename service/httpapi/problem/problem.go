// Package problem defines the errors that clients see: RFC 9457 problem details, with types
// that never change. Everything that serves requests imports it.
package problem

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// ContentType is the media type of a problem.
const ContentType = "application/problem+json"

// A FieldError reports what is wrong with one member of a body.
type FieldError struct {
	// Pointer is a JSON pointer into the body (RFC 6901).
	Pointer string `json:"pointer"`
	Detail  string `json:"detail"`
}

// A Problem is an error as a client sees it. It implements error, so that handlers can
// return it.
type Problem struct {
	// Type is a stable URI, for programs. Title is the summary of the type, for people.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is about this one occurrence, for people.
	Detail string `json:"detail,omitempty"`
	// Instance is the request's id.
	Instance string `json:"instance,omitempty"`
	// Errors are the bad fields.
	Errors []FieldError `json:"errors,omitempty"`

	// RetryAfter is how long to wait before a retry; zero if a retry does not help.
	RetryAfter time.Duration `json:"-"`
	// Header holds more header fields of the answer, or is nil.
	Header http.Header `json:"-"`
	// Cause is the error that operators see in the log. Clients do not get it.
	Cause error `json:"-"`
}

// Error returns the problem as one line.
func (p *Problem) Error() string {
	if p.Cause != nil {
		return p.Title + ": " + p.Cause.Error()
	}
	return p.Title + ": " + p.Detail
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// A Kind creates problems of one type.
type Kind struct {
	name, title string
	status      int
	retryAfter  time.Duration
}

// Name returns the last part of the kind's type.
func (k Kind) Name() string { return k.name }

// base is the prefix of all types. It only names them; there is nothing to fetch.
const base = "https://clusterlite.dev/problems/"

// The kinds of problems. Names and statuses are part of the API.
var (
	MalformedRequest     = Kind{"malformed-request", "The request is malformed", http.StatusBadRequest, 0}
	Unauthorized         = Kind{"unauthorized", "Authentication is required", http.StatusUnauthorized, 0}
	Forbidden            = Kind{"forbidden", "Access is denied", http.StatusForbidden, 0}
	CredentialNotSet     = Kind{"credential-not-set", "No credential of operators is set", http.StatusForbidden, 0}
	NotFound             = Kind{"not-found", "Resource not found", http.StatusNotFound, 0}
	UnknownCollection    = Kind{"unknown-collection", "Unknown collection", http.StatusNotFound, 0}
	MethodNotAllowed     = Kind{"method-not-allowed", "Method not allowed", http.StatusMethodNotAllowed, 0}
	NotAcceptable        = Kind{"not-acceptable", "No acceptable representation", http.StatusNotAcceptable, 0}
	RequestTimeout       = Kind{"request-timeout", "The request body timed out", http.StatusRequestTimeout, 0}
	UniqueTaken          = Kind{"unique-taken", "A unique value is already taken", http.StatusConflict, 0}
	IdempotencyInFlight  = Kind{"idempotency-in-flight", "The first request with this Idempotency-Key is still in progress", http.StatusConflict, time.Second}
	RebuildRefused       = Kind{"rebuild-refused", "The node can't start this rebuild now", http.StatusConflict, 0}
	VersionMismatch      = Kind{"version-mismatch", "The resource has a different version", http.StatusPreconditionFailed, 0}
	BodyTooLarge         = Kind{"body-too-large", "The request body is too large", http.StatusRequestEntityTooLarge, 0}
	Misdirected          = Kind{"misdirected", "This node does not serve the request", http.StatusMisdirectedRequest, 0}
	UnsupportedMediaType = Kind{"unsupported-media-type", "Unsupported media type", http.StatusUnsupportedMediaType, 0}
	InvalidDocument      = Kind{"invalid-document", "The document is invalid", http.StatusUnprocessableEntity, 0}
	IdempotencyKeyReused = Kind{"idempotency-key-reused", "The Idempotency-Key was used for a different request", http.StatusUnprocessableEntity, 0}
	RateLimited          = Kind{"rate-limited", "Too many requests", http.StatusTooManyRequests, time.Second}
	BrokerUnreachable    = Kind{"broker-unreachable", "The log is unreachable", http.StatusServiceUnavailable, time.Second}
	ReadModelBehind      = Kind{"read-model-behind", "The read model did not catch up in time", http.StatusServiceUnavailable, time.Second}
	OutcomeUnknown       = Kind{"outcome-unknown", "The outcome of the write is unknown", http.StatusServiceUnavailable, time.Second}
	Overloaded           = Kind{"overloaded", "The server is overloaded", http.StatusServiceUnavailable, time.Second}
	NotReady             = Kind{"not-ready", "The node is not ready", http.StatusServiceUnavailable, time.Second}
	SearchUnavailable    = Kind{"search-unavailable", "Full-text search is not available", http.StatusNotImplemented, 0}
	Internal             = Kind{"internal", "Internal server error", http.StatusInternalServerError, 0}
)

// New returns a problem of this kind.
func (k Kind) New(detail string) *Problem {
	return &Problem{Type: base + k.name, Title: k.title, Status: k.status, Detail: detail, RetryAfter: k.retryAfter}
}

// Because returns a problem of this kind with a cause, which only operators see.
func (k Kind) Because(cause error, detail string) *Problem {
	p := k.New(detail)
	p.Cause = cause
	return p
}

// Of reports whether the problem is of this kind.
func (p *Problem) Of(k Kind) bool { return p.Type == base+k.name }

// With adds errors of fields.
func (p *Problem) With(fields ...FieldError) *Problem {
	p.Errors = append(p.Errors, fields...)
	return p
}

// Set sets a header field of the response.
func (p *Problem) Set(name, value string) *Problem {
	if p.Header == nil {
		p.Header = http.Header{}
	}
	p.Header.Set(name, value)
	return p
}

// From returns the problem in an error's chain, or an [Internal] one with the error as its
// cause.
func From(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return Internal.Because(err, "The server failed unexpectedly. The error is in its log under the request's id.")
}

// Write sends the problem as the response. body is false for methods whose responses have no
// body.
func (p *Problem) Write(w http.ResponseWriter, instance string, body bool) error {
	shown := *p
	shown.Instance = instance
	h := w.Header()
	for name, values := range p.Header {
		h[name] = values
	}
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(max(1, int(p.RetryAfter.Seconds()))))
	}
	b, err := json.Marshal(shown)
	if err != nil {
		return err
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(p.Status)
	if !body {
		return nil
	}
	_, err = w.Write(b)
	return err
}
