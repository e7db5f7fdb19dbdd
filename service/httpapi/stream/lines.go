package stream

// PieceSize is about how many bytes of lines are sent at a time.
const PieceSize = 64 << 10

// Lines gathers lines and sends them in pieces of whole lines. Use it from one goroutine at a
// time.
type Lines struct {
	send   func(piece []byte) error
	buffer []byte
}

// NewLines returns Lines that send pieces with a function, for example [Writer.Send].
func NewLines(send func(piece []byte) error) *Lines { return &Lines{send: send} }

// Buffer returns the lines that are gathered. The caller appends a line, without its newline, and
// passes the result to Add.
func (l *Lines) Buffer() []byte {
	if l.buffer == nil {
		l.buffer = make([]byte, 0, PieceSize+4<<10)
	}
	return l.buffer
}

// Add takes the result of appending a line to Buffer, adds the newline, and sends the lines if
// they have reached the size of a piece.
func (l *Lines) Add(buffer []byte) error {
	if l.buffer = append(buffer, '\n'); len(l.buffer) < PieceSize {
		return nil
	}
	return l.Flush()
}

// Flush sends the lines that are gathered, if there are any.
func (l *Lines) Flush() error {
	if len(l.buffer) == 0 {
		return nil
	}
	err := l.send(l.buffer)
	l.buffer = l.buffer[:0]
	return err
}
