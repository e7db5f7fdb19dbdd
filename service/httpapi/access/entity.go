package access

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/document"
)

// A Version is an entity at one of its versions. Unlike a rendered entity, it has the members of the
// server apart from the document.
type Version struct {
	ID        string
	Version   int64
	UpdatedAt time.Time
	// CreatedAt is called only for a rule that depends on it.
	CreatedAt func() (time.Time, error)
	Document  []byte // valid JSON
}

// member returns a member of the server.
func (v *Version) member(name string) (literal jsontext.Value, is bool) {
	switch name {
	case "id":
		return jsontext.Value(strconv.Quote(v.ID)), true // letters and digits
	case "version":
		return strconv.AppendInt(nil, v.Version, 10), true
	case "created_at":
		created, err := v.CreatedAt()
		if err != nil {
			return nil, true
		}
		return jsontext.Value(strconv.Quote(events.FormatTime(created))), true
	case "updated_at":
		return jsontext.Value(strconv.Quote(events.FormatTime(v.UpdatedAt))), true
	}
	return nil, false
}

// An entity is what old and new refer to. It reads its members when the first one is needed.
type entity struct {
	version  *Version // nil if rendered has all members
	rendered []byte
	names    []string         // the members that the expression refers to
	values   []jsontext.Value // their values, once they were read
	found    bool
}

func (e *entity) literal(name string) jsontext.Value {
	if e.version != nil {
		if literal, is := e.version.member(name); is {
			return literal
		}
	}
	if !e.found {
		e.values, e.found = slices.Grow(e.values[:0], len(e.names))[:len(e.names)], true
		document.Members(e.rendered, e.names, e.values)
	}
	i := slices.Index(e.names, name)
	if i < 0 || len(e.values[i]) == 0 || e.values[i].Kind() == 'n' {
		return nil
	}
	return e.values[i]
}

func (e *entity) has(name string) bool { return e.literal(name) != nil }

// get returns the value of a member of the given kind.
func (e *entity) get(name string, k kind) (any, error) {
	value := e.literal(name)
	if value == nil {
		return nil, errMissing
	}
	switch is := value.Kind(); {
	case k == text && is == '"':
		return document.Scalar(value)
	case k == boolean && (is == 't' || is == 'f'):
		return is == 't', nil
	case k == integer && is == '0':
		return wholeNumber(string(value))
	case k == number && is == '0':
		return strconv.ParseFloat(string(value), 64)
	case k == texts && is == '[':
		return textsIn(value)
	case k == list && is == '[', k == object && is == '{', k == anything:
		return generic(value)
	}
	return nil, errKind
}

// wholeNumber returns an integer in any notation. SQLite converts notations other than digits
// alone through a float.
func wholeNumber(literal string) (any, error) {
	if n, err := strconv.ParseInt(literal, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || !bytes.ContainsAny([]byte(literal), ".eE") || f != math.Trunc(f) || math.Abs(f) >= maxExact {
		return nil, errKind
	}
	return int64(f), nil
}

// textsIn returns the items of an array that are texts. Others equal no text.
func textsIn(value jsontext.Value) (any, error) {
	var items []any
	if err := json.Unmarshal(value, &items); err != nil {
		return nil, errKind
	}
	all := make([]ref.Val, len(items))
	for i, item := range items {
		all[i] = types.NullValue
		if s, ok := item.(string); ok {
			all[i] = types.String(s)
		}
	}
	return types.DefaultTypeAdapter.NativeToValue(all), nil
}

func generic(value jsontext.Value) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, errKind
	}
	converted, ok := plain(v)
	if !ok {
		return nil, errKind
	}
	return converted, nil
}
