package cluster

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// A screen replaces each frame with the next. If the output is not a terminal, it writes one
// frame after another.
type screen struct {
	w        io.Writer
	terminal bool
}

func newScreen(w io.Writer) screen {
	f, ok := w.(*os.File)
	return screen{w, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"}
}

// These are control sequences of terminals (ECMA-48).
const (
	home      = "\x1b[H"
	clearLine = "\x1b[K" // clears from the cursor to the end of the line
	clearRest = "\x1b[J" // clears from the cursor to the end of the screen
)

// draw shows a frame with a single write, so that it does not flicker.
func (s screen) draw(frame []byte) error {
	if s.terminal {
		frame = []byte(home + string(bytes.ReplaceAll(frame, []byte("\n"), []byte(clearLine+"\n"))) + clearRest)
	}
	if _, err := s.w.Write(frame); err != nil {
		return fmt.Errorf("show the status: %w", err)
	}
	return nil
}
