package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/events/document"
)

// Parse reads a record. It always gives one: what is not understood gives one that is
// [Malformed] and says why. The same bytes give the same answer for ever; each check is a
// rule of storage.
func Parse(s Stored) Record {
	h := s.headers()
	r := Record{Offset: s.Offset, Timestamp: s.Timestamp, id: h.get(headerID)}
	format, err := parseFormat(&h)
	if err != nil {
		return r.malformed(err)
	}
	if format > Format {
		r.Content, r.Format = NewerFormat, format
		return r
	}
	// After the format, so that a later version may give transactions a meaning.
	if s.InTransaction {
		return r.malformed(errTransaction)
	}
	if h.get(headerType) == barrierType {
		r.Content, r.Checkpoint = Barrier, h.get(headerCheckpoint) == isTrue
		return r
	}
	if r.Event, err = parseEvent(&h, s.Value); err != nil {
		return r.malformed(err)
	}
	r.Content = HasEvent
	return r
}

// errTransaction: a reader can't wait for the end of a stranger's transaction, and must
// decide as those do that read after it.
var errTransaction = errors.New("it was produced in a transaction, which the log does not accept")

func (r Record) malformed(err error) Record {
	return Record{Offset: r.Offset, Timestamp: r.Timestamp, id: r.id, Content: Malformed, Malformed: err.Error()}
}

// parseFormat finds the format that a reader must know. Only a record that says it is
// a CloudEvent of ours can ask a reader to stop: nine digits at most, so that no
// nonsense of a stranger does.
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

func parseEvent(h *headers, value []byte) (Event, error) {
	e := Event{
		ID:          h.get(headerID),
		Source:      h.get(headerSource),
		EntityID:    h.get(headerSubject),
		TraceParent: h.get(headerTraceParent),
	}
	var err error
	if e.Collection, e.Kind, err = parseType(h.get(headerType)); err != nil {
		return Event{}, err
	}
	if err = checkNames(e); err != nil {
		return Event{}, err
	}
	if e.Time, err = parseTime(h.get(headerTime)); err != nil {
		return Event{}, err
	}
	if e.Version, err = parseCount(h, headerEntityVersion, 15); err != nil {
		return Event{}, err
	}
	if e.Claims, err = parseClaims(h.get(headerClaims)); err != nil {
		return Event{}, err
	}
	if err = parseIdempotency(h, &e); err != nil {
		return Event{}, err
	}
	e.Document = value
	return e, checkKind(h, &e)
}

func checkNames(e Event) error {
	if !ValidID(e.ID) {
		return fmt.Errorf("%s %q is not a UUID in lower case", headerID, clip(e.ID))
	}
	if !ValidID(e.EntityID) {
		return fmt.Errorf("%s %q is not a UUID in lower case", headerSubject, clip(e.EntityID))
	}
	if e.Source == "" || len(e.Source) > 1024 {
		return fmt.Errorf("%s must have 1 to 1024 bytes", headerSource)
	}
	return nil
}

// checkKind holds an event against what its kind allows.
func checkKind(h *headers, e *Event) error {
	if (e.Kind == Created) != (e.Version == 1) {
		return fmt.Errorf("%s can't create version %d", e.Kind, e.Version)
	}
	if e.Kind == Deleted {
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

// parseCount reads a positive integer in its one canonical form.
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
	if t, ok := parseCanonicalTime(s); ok {
		return t, nil
	}
	t, err := time.Parse(TimeFormat, s)
	if err != nil || FormatTime(t) != s {
		return time.Time{}, fmt.Errorf("%s %q is not like %s", headerTime, clip(s), TimeFormat)
	}
	return t, nil
}

// maxClaims bounds what one record can make a reader look up.
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

// splitPlainStrings reads a JSON array of strings that are written without escapes and
// without spaces between them, as nearly all are. plain is false for any other text, which
// may be JSON all the same.
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

// plainInJSON reports whether a byte stands for itself in a JSON string, and is ASCII.
func plainInJSON(c byte) bool { return c >= ' ' && c < 0x7f && c != '"' && c != '\\' }

// validClaim reports whether c is <field>:<128 bits in base64url>.
func validClaim(c string) bool {
	field, hash, ok := strings.Cut(c, ":")
	if !ok || len(hash) != 22 || field == "" || len(field) > 63 {
		return false
	}
	return isWord(field, "_") && isWord(hash, "-_")
}

// isWord reports whether s has only ASCII letters, digits and the bytes in others.
func isWord(s, others string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(others, c) >= 0) {
			return false
		}
	}
	return true
}

func parseIdempotency(h *headers, e *Event) error {
	key, hasKey := h.lookup(headerIdempotencyKey)
	hash, hasHash := h.lookup(headerRequestHash)
	if hasKey != hasHash {
		return fmt.Errorf("%s and %s must be used together", headerIdempotencyKey, headerRequestHash)
	}
	if !hasKey {
		return nil
	}
	if !ValidIdempotencyKey(key) {
		return fmt.Errorf("%s must be 1 to 255 visible ASCII characters", headerIdempotencyKey)
	}
	if hash == "" || len(hash) > 128 || !isWord(hash, "-_") {
		return fmt.Errorf("%s must be 1 to 128 characters of base64url", headerRequestHash)
	}
	e.IdempotencyKey, e.RequestHash = key, hash
	return nil
}

// ValidIdempotencyKey reports whether s can be an idempotency key: 1 to 255 visible
// ASCII characters.
func ValidIdempotencyKey(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return true
}
