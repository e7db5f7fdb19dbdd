package stream

import "strconv"

// frameRoom is the room for the size of a chunk: eight hexadecimal digits and a line break.
const frameRoom = 10

// A Piece is a part of a response's body, framed as a chunk of HTTP/1.1 once for all connections that
// it is sent on. It never changes, so connections share it. The zero value is empty.
type Piece struct {
	chunk []byte // the size, a line break, the content, a line break
	at    int    // where the content begins
}

// Retry asks a client of server-sent events to connect again soon, should the response end.
var Retry = NewPiece(nil, func(b []byte) []byte { return append(b, "retry: 250\n\n"...) })

// Heartbeat keeps a connection with server-sent events open while there is nothing to send.
var Heartbeat = NewPiece(nil, func(b []byte) []byte { return append(b, ":\n\n"...) })

// NewPiece returns a piece. appendTo appends its content to a buffer, whose space the piece uses.
func NewPiece(buffer []byte, appendTo func([]byte) []byte) Piece {
	var room [frameRoom]byte
	b := appendTo(append(buffer[:0], room[:]...))
	n := len(b) - frameRoom
	if n == 0 {
		return Piece{}
	}
	size := strconv.AppendInt(room[:0], int64(n), 16)
	start := frameRoom - len(size) - 2
	copy(b[start:], size)
	copy(b[frameRoom-2:], "\r\n")
	return Piece{append(b, "\r\n"...)[start:], len(size) + 2}
}

// Len returns the number of bytes of the content.
func (p Piece) Len() int {
	if p.chunk == nil {
		return 0
	}
	return len(p.chunk) - p.at - 2
}

// Content returns the content. The caller must not change it.
func (p Piece) Content() []byte { return p.chunk[p.at : p.at+p.Len()] }

// Chunk returns the content, framed as a chunk. The caller must not change it.
func (p Piece) Chunk() []byte { return p.chunk }
