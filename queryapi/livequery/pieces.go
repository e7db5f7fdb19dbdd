package livequery

import (
	"encoding/json"
	"strconv"
	"sync"

	"github.com/clusterlite/clusterlite/service/httpapi/stream"
)

// pieces are what clients get of a state. Each is rendered once, for the first client that needs it.
type pieces struct {
	rows    func() stream.Piece // the rows, and how far they are
	control func() stream.Piece // how far the rows are
}

func newPieces(s State) *pieces {
	once := func(appendTo func([]byte) []byte, size int) func() stream.Piece {
		const around = 256 // bytes besides the rows
		return sync.OnceValue(func() stream.Piece { return stream.NewPiece(make([]byte, 0, size+around), appendTo) })
	}
	return &pieces{
		rows:    once(func(b []byte) []byte { return appendControl(appendRows(b, s), s) }, len(s.Rows)),
		control: once(func(b []byte) []byte { return appendControl(b, s) }, 0),
	}
}

// appendRows appends the event with the rows.
func appendRows(b []byte, s State) []byte {
	b = append(append(b, "event: data\ndata:"...), s.Rows...) // which have no line breaks
	return append(append(append(b, "\nid: "...), s.Tag...), "\n\n"...)
}

// appendControl appends the event that says how far the rows are.
func appendControl(b []byte, s State) []byte {
	text, err := json.Marshal(struct {
		Position string `json:"position"`
		Stopped  bool   `json:"stopped,omitempty"`
	}{strconv.FormatInt(int64(s.At), 10), s.Stopped})
	if err != nil { // a text and a bool can always be encoded
		panic(err)
	}
	b = append(append(b, "event: control\ndata:"...), text...)
	return append(append(append(b, "\nid: "...), s.Tag...), "\n\n"...)
}
