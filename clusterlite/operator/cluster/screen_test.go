package cluster

import (
	"bytes"
	"errors"
	"testing"
)

type full struct{}

var errFull = errors.New("full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAScreenDrawsInPlace(t *testing.T) {
	var b bytes.Buffer
	s := screen{&b, true}
	for _, frame := range []string{"one\ntwo\n", "three\n"} {
		if err := s.draw([]byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	if want := "\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J\x1b[Hthree\x1b[K\n\x1b[J"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
	if err := (screen{full{}, false}).draw([]byte("x")); !errors.Is(err, errFull) {
		t.Errorf("got %v, want %v", err, errFull)
	}
}
