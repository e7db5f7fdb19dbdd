package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

// Parse reads a record. It never fails. A record that no rule understands becomes an
// [events.Malformed] record that says why. The same bytes always give the same result. Each check is
// part of the stored format and never changes.
func Parse(s Stored) events.Record {
	h := s.headers()
	r := events.Record{Offset: s.Offset, Timestamp: s.Timestamp, ID: h.get(headerID)}
	format, err := parseFormat(&h)
	if err != nil {
		return malformed(r, err)
	}
	if format > events.Format {
		r.Content, r.Format = events.NewerFormat, format
		return r
	}
	// This check follows that of the format, so that a later format can give transactions a
	// meaning.
	if s.InTransaction {
		return malformed(r, errTransaction)
	}
	if h.get(headerType) == barrierType {
		r.Content, r.Checkpoint = events.Barrier, h.get(headerCheckpoint) == isTrue
		return r
	}
	if r.Event, err = parseEvent(&h, format, s.Value); err != nil {
		return malformed(r, err)
	}
	r.Content = events.HasEvent
	return r
}

// errTransaction is the reason why records of transactions are void. A reader can't wait for the
// end of a foreign transaction, and must decide as later readers do.
var errTransaction = errors.New("it was produced in a transaction, which the log does not accept")

func malformed(r events.Record, err error) events.Record {
	return events.Record{Offset: r.Offset, Timestamp: r.Timestamp, ID: r.ID, Content: events.Malformed, Malformed: err.Error()}
}

// parseFormat returns the format that a reader must know. Only a record that claims to be a
// CloudEvent of ours can stop a reader. The number has at most nine digits, so that garbage
// from a foreign producer does not.
func parseFormat(h *headers) (int, error) {
	if h.repeated != "" {
		return 0, fmt.Errorf("header %q more than once", clip(h.repeated))
	}
	if v := h.get(headerSpecVersion); v != specVersion {
		return 0, fmt.Errorf("%s is %q, not %q", headerSpecVersion, clip(v), specVersion)
	}
	if t := h.get(headerType); !strings.HasPrefix(t, typePrefix) {
		return 0, fmt.Errorf("unknown type %q", clip(t))
	}
	n, err := parseCount(h, headerFormat, 9)
	return int(n), err
}

// parseType splits a CloudEvents type into collection and kind.
func parseType(s string) (collection string, kind events.Kind, err error) {
	rest, ours := strings.CutPrefix(s, typePrefix)
	collection, verb, two := strings.Cut(rest, ".")
	if !ours || !two || !events.ValidCollection(collection) {
		return "", "", fmt.Errorf("unknown type %q", clip(s))
	}
	switch kind = events.Kind(verb); kind {
	case events.Created, events.Updated, events.Deleted, events.Restored:
		return collection, kind, nil
	}
	return "", "", fmt.Errorf("unknown type %q", clip(s))
}

func parseEvent(h *headers, format int, value []byte) (events.Event, error) {
	e := events.Event{
		ID:          h.get(headerID),
		Source:      h.get(headerSource),
		EntityID:    h.get(headerSubject),
		TraceParent: h.get(headerTraceParent),
	}
	var err error
	if e.Collection, e.Kind, err = parseType(h.get(headerType)); err != nil {
		return events.Event{}, err
	}
	if needs := e.Kind.Format(); format < needs {
		// It is malformed for readers that know only this format.
		return events.Event{}, fmt.Errorf("unknown type %q", clip(h.get(headerType)))
	} else if format > needs {
		return events.Event{}, fmt.Errorf("%s is %d, but events of type %s have format %d", headerFormat, format, e.Kind, needs)
	}
	if err = checkNames(e); err != nil {
		return events.Event{}, err
	}
	if e.Time, err = parseTime(h.get(headerTime)); err != nil {
		return events.Event{}, err
	}
	if e.Version, err = parseCount(h, headerEntityVersion, 15); err != nil {
		return events.Event{}, err
	}
	if e.Claims, err = parseClaims(h.get(headerClaims)); err != nil {
		return events.Event{}, err
	}
	if err = parseIdempotency(h, &e); err != nil {
		return events.Event{}, err
	}
	// Readers of versions that did not know the actor admit an event whatever this header holds.
	// So a value that is not valid does not make the record malformed: there is no actor.
	if actor := h.get(headerActor); events.ValidActor(actor) {
		e.Actor = actor
	}
	e.Document = value
	return e, checkKind(h, &e)
}

func checkNames(e events.Event) error {
	if !events.ValidID(e.ID) {
		return fmt.Errorf("%s %q is not a UUID in lower case", headerID, clip(e.ID))
	}
	if !events.ValidID(e.EntityID) {
		return fmt.Errorf("%s %q is not a UUID in lower case", headerSubject, clip(e.EntityID))
	}
	if e.Source == "" || len(e.Source) > 1024 {
		return fmt.Errorf("%s must have 1 to 1024 bytes", headerSource)
	}
	return nil
}

// checkKind checks that an event has what its kind requires, and no more.
func checkKind(h *headers, e *events.Event) error {
	if (e.Kind == events.Created) != (e.Version == 1) {
		return fmt.Errorf("%s can't create version %d", e.Kind, e.Version)
	}
	if e.Kind == events.Deleted {
		if len(e.Document) > 0 || len(e.Claims) > 0 {
			return errors.New("an event of type deleted must not have a document or claims")
		}
		e.Document = nil
		return nil
	}
	if t := h.get(headerContentType); t != contentJSON {
		return fmt.Errorf("content-type is %q, not %q", clip(t), contentJSON)
	}
	if err := document.Check(e.Document); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return nil
}

// parseCount parses a positive integer in its canonical form.
func parseCount(h *headers, name string, digits int) (int64, error) {
	s := h.get(name)
	bad := s == "" || len(s) > digits || s[0] == '0'
	for i := 0; i < len(s) && !bad; i++ {
		bad = s[i] < '0' || s[i] > '9'
	}
	if bad {
		return 0, fmt.Errorf("%s %q is not a positive integer of at most %d digits", name, clip(s), digits)
	}
	return strconv.ParseInt(s, 10, 64)
}

func parseTime(s string) (time.Time, error) {
	t, ok := events.ParseTime(s)
	if !ok {
		return time.Time{}, fmt.Errorf("%s %q is not like %s", headerTime, clip(s), events.TimeFormat)
	}
	return t, nil
}

// maxClaims limits the number of lookups that one record can cause.
const maxClaims = 64

func parseClaims(s string) ([]string, error) {
	if s == noClaims {
		return nil, nil
	}
	claims, plain := splitPlainStrings(s)
	if !plain {
		claims = nil
		if err := json.Unmarshal([]byte(s), &claims); err != nil {
			claims = nil
		}
	}
	if len(claims) == 0 || len(claims) > maxClaims {
		return nil, fmt.Errorf("%s is not a JSON array of at most %d strings", headerClaims, maxClaims)
	}
	for i, c := range claims {
		if !validClaim(c) {
			return nil, fmt.Errorf("claim %q is not <field>:<hash>", clip(c))
		}
		if i > 0 && claims[i-1] >= c {
			return nil, fmt.Errorf("%s are not sorted, or contain a duplicate", headerClaims)
		}
	}
	return claims, nil
}

// splitPlainStrings parses a JSON array of strings that has no escapes and no spaces between
// the strings. Nearly all stored claims have this form. plain is false for any other text, which
// may still be valid JSON.
func splitPlainStrings(s string) (texts []string, plain bool) {
	if len(s) < len(`[""]`) || s[0] != '[' || s[len(s)-1] != ']' {
		return nil, false
	}
	texts = make([]string, 0, 1+strings.Count(s, ","))
	for rest := s[1 : len(s)-1]; ; {
		if rest == "" || rest[0] != '"' {
			return nil, false
		}
		end := 1
		for end < len(rest) && plainInJSON(rest[end]) {
			end++
		}
		if end == len(rest) || rest[end] != '"' {
			return nil, false
		}
		texts = append(texts, rest[1:end])
		if rest = rest[end+1:]; rest == "" {
			return texts, true
		}
		if rest[0] != ',' {
			return nil, false
		}
		rest = rest[1:]
	}
}

// plainInJSON reports whether a byte is ASCII and needs no escape in a JSON string.
func plainInJSON(c byte) bool { return c >= ' ' && c < 0x7f && c != '"' && c != '\\' }

// validClaim reports whether c is <field>:<128 bits in base64url>.
func validClaim(c string) bool {
	field, hash, ok := strings.Cut(c, ":")
	if !ok || len(hash) != 22 || field == "" || len(field) > 63 {
		return false
	}
	return isWord(field, "_") && isWord(hash, "-_")
}

// isWord reports whether s has only ASCII letters, digits, and the bytes in others.
func isWord(s, others string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(others, c) >= 0) {
			return false
		}
	}
	return true
}

func parseIdempotency(h *headers, e *events.Event) error {
	key, hasKey := h.lookup(headerIdempotencyKey)
	hash, hasHash := h.lookup(headerRequestHash)
	if hasKey != hasHash {
		return fmt.Errorf("%s and %s must be used together", headerIdempotencyKey, headerRequestHash)
	}
	if !hasKey {
		return nil
	}
	if !events.ValidIdempotencyKey(key) {
		return fmt.Errorf("%s must be 1 to 255 visible ASCII characters", headerIdempotencyKey)
	}
	if hash == "" || len(hash) > 128 || !isWord(hash, "-_") {
		return fmt.Errorf("%s must be 1 to 128 characters of base64url", headerRequestHash)
	}
	e.IdempotencyKey, e.RequestHash = key, hash
	return nil
}

// clip shortens text from a foreign producer before it goes into a message.
func clip(s string) string {
	const maximum = 80
	if len(s) > maximum {
		return s[:maximum] + "…"
	}
	return s
}
