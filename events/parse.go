package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/clusterlite/clusterlite/events/document"
)

// ParseMessage reads a message that [Codec.Unmarshal] made and Watermill's Kafka
// subscriber delivered. It always gives a record: a message that is not understood
// gives one that is [Malformed] and says why. The same bytes give the same answer for
// ever; each check is a rule of storage.
func ParseMessage(m *message.Message) Record {
	offset, _ := kafka.MessagePartitionOffsetFromCtx(m.Context())
	timestamp, _ := kafka.MessageTimestampFromCtx(m.Context())
	return parse(m.Metadata, m.Payload, offset, timestamp)
}

func parse(headers message.Metadata, value []byte, offset int64, timestamp time.Time) Record {
	if _, none := headers[headerNoRecord]; none {
		return Record{Offset: offset, Content: NoRecord, id: string(value)}
	}
	r := Record{Offset: offset, Timestamp: timestamp, id: headers[headerID]}
	format, err := parseFormat(headers)
	if err != nil {
		return r.malformed(err)
	}
	if format > Format {
		r.Content, r.Format = NewerFormat, format
		return r
	}
	// After the format, so that a later version may give transactions a meaning.
	if _, in := headers[headerTransaction]; in {
		return r.malformed(errTransaction)
	}
	if headers[headerType] == barrierType {
		r.Content, r.Checkpoint = Barrier, headers[headerCheckpoint] == isTrue
		return r
	}
	if r.Event, err = parseEvent(headers, value); err != nil {
		return r.malformed(err)
	}
	r.Content = HasEvent
	return r
}

// errTransaction: a reader can't wait for the end of a stranger's transaction, and must
// decide as those do that read after it.
var errTransaction = errors.New("it was produced in a transaction, which the log does not take")

func (r Record) malformed(err error) Record {
	return Record{Offset: r.Offset, Timestamp: r.Timestamp, id: r.id, Content: Malformed, Malformed: err.Error()}
}

// parseFormat finds the format that a reader must know. Only a record that says it is
// a CloudEvent of ours can ask a reader to stop: nine digits at most, so that no
// nonsense of a stranger does.
func parseFormat(headers message.Metadata) (int, error) {
	if name, twice := headers[headerRepeated]; twice {
		return 0, fmt.Errorf("header %q more than once", clip(name))
	}
	if v := headers[headerSpecVersion]; v != specVersion {
		return 0, fmt.Errorf("%s is %q, not %q", headerSpecVersion, clip(v), specVersion)
	}
	if t := headers[headerType]; !strings.HasPrefix(t, typePrefix) {
		return 0, fmt.Errorf("unknown type %q", clip(t))
	}
	n, err := parseCount(headers, headerFormat, 9)
	return int(n), err
}

func parseEvent(headers message.Metadata, value []byte) (Event, error) {
	e := Event{
		ID:          headers[headerID],
		Source:      headers[headerSource],
		EntityID:    headers[headerSubject],
		TraceParent: headers[headerTraceParent],
	}
	var err error
	if e.Collection, e.Kind, err = parseType(headers[headerType]); err != nil {
		return Event{}, err
	}
	if err = checkNames(e); err != nil {
		return Event{}, err
	}
	if e.Time, err = parseTime(headers[headerTime]); err != nil {
		return Event{}, err
	}
	if e.Version, err = parseCount(headers, headerEntityVersion, 15); err != nil {
		return Event{}, err
	}
	if e.Claims, err = parseClaims(headers[headerClaims]); err != nil {
		return Event{}, err
	}
	if err = parseIdempotency(headers, &e); err != nil {
		return Event{}, err
	}
	e.Document = value
	return e, checkKind(headers, &e)
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
func checkKind(headers message.Metadata, e *Event) error {
	if (e.Kind == Created) != (e.Version == 1) {
		return fmt.Errorf("%s can't create version %d", e.Kind, e.Version)
	}
	if e.Kind == Deleted {
		if len(e.Document) > 0 || len(e.Claims) > 0 {
			return errors.New("deleted carries a document or claims")
		}
		e.Document = nil
		return nil
	}
	if t := headers[headerContentType]; t != contentJSON {
		return fmt.Errorf("content-type is %q, not %q", clip(t), contentJSON)
	}
	if err := document.Check(e.Document); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return nil
}

// parseCount reads a positive integer in its one canonical form.
func parseCount(headers message.Metadata, name string, digits int) (int64, error) {
	s := headers[name]
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
	t, err := time.Parse(TimeFormat, s)
	if err != nil || FormatTime(t) != s {
		return time.Time{}, fmt.Errorf("%s %q is not like %s", headerTime, clip(s), TimeFormat)
	}
	return t, nil
}

// maxClaims bounds what one record can make a reader look up.
const maxClaims = 64

func parseClaims(s string) ([]string, error) {
	if s == "[]" {
		return nil, nil
	}
	var claims []string
	if err := json.Unmarshal([]byte(s), &claims); err != nil || len(claims) == 0 || len(claims) > maxClaims {
		return nil, fmt.Errorf("%s is not a JSON array of at most %d strings", headerClaims, maxClaims)
	}
	for i, c := range claims {
		if !validClaim(c) {
			return nil, fmt.Errorf("claim %q is not <field>:<hash>", clip(c))
		}
		if i > 0 && claims[i-1] >= c {
			return nil, fmt.Errorf("%s are not sorted, or one is there twice", headerClaims)
		}
	}
	return claims, nil
}

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

func parseIdempotency(headers message.Metadata, e *Event) error {
	key, hasKey := headers[headerIdempotencyKey]
	hash, hasHash := headers[headerRequestHash]
	if hasKey != hasHash {
		return fmt.Errorf("%s and %s must come together", headerIdempotencyKey, headerRequestHash)
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
