package modelrows

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// A member is a column that a response has.
type member struct {
	index int
	name  []byte // with quotes and colon
	kind  sqlmodel.Kind
}

// members returns the columns that a request asks for. No fields mean all columns.
func (r *Rows) members(fields []string) (all []member) {
	for i, c := range r.columns {
		if len(fields) == 0 || slices.Contains(fields, c.Name) {
			all = append(all, member{i, append(appendString(nil, c.Name), ':'), c.Kind})
		}
	}
	return all
}

func appendRow(b []byte, members []member, row []any) []byte {
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(append(b, m.name...), m.kind, row[m.index])
	}
	return append(b, '}')
}

// appendValue appends a value of SQLite as JSON. Bytes become base64. Infinity, which JSON does not have,
// becomes null.
func appendValue(b []byte, kind sqlmodel.Kind, value any) []byte {
	switch value := value.(type) {
	case int64:
		if kind == sqlmodel.Boolean && (value == 0 || value == 1) {
			return strconv.AppendBool(b, value == 1)
		}
		return strconv.AppendInt(b, value, 10)
	case float64:
		if math.IsInf(value, 0) || math.IsNaN(value) {
			return append(b, "null"...)
		}
		text, err := json.Marshal(value)
		if err != nil { // finite numbers can always be marshalled
			panic(err)
		}
		return append(b, text...)
	case string:
		if kind == sqlmodel.JSON && json.Valid([]byte(value)) {
			return appendLine(b, value)
		}
		return appendString(b, value)
	case []byte:
		return appendString(b, base64.StdEncoding.EncodeToString(value))
	}
	return append(b, "null"...)
}

// appendLine appends valid JSON, without line breaks, because a row is one line of a stream.
func appendLine(b []byte, text string) []byte {
	if !strings.ContainsAny(text, "\r\n") {
		return append(b, text...)
	}
	compact := bytes.NewBuffer(b)
	if err := json.Compact(compact, []byte(text)); err != nil { // it is valid
		panic(err)
	}
	return compact.Bytes()
}

// appendString appends a JSON string. It leaves < and > as they are, because they are common in
// highlighted texts, and the response is not HTML.
func appendString(b []byte, s string) []byte {
	var buffer bytes.Buffer
	e := json.NewEncoder(&buffer)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // texts can always be encoded
		panic(err)
	}
	return append(b, bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))...)
}
