package stream_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/httpapi/stream"
)

// Pieces of all sizes arrive as they were, framed as chunks.
func TestPiecesAreChunks(t *testing.T) {
	var sent bytes.Buffer
	var want strings.Builder
	for _, n := range []int{1, 9, 10, 15, 16, 255, 256, 70_000} {
		content := strings.Repeat("x", n-1) + "\n"
		p := stream.NewPiece(make([]byte, 0, 20), func(b []byte) []byte { return append(b, content...) })
		if string(p.Content()) != content || p.Len() != n {
			t.Errorf("got %d bytes %.20q, want %d", p.Len(), p.Content(), n)
		}
		sent.Write(p.Chunk())
		want.WriteString(content)
	}
	sent.WriteString("0\r\n\r\n")
	got, err := io.ReadAll(httputil.NewChunkedReader(bufio.NewReader(&sent)))
	if err != nil || string(got) != want.String() {
		t.Errorf("got %d bytes, %v, want %d", len(got), err, want.Len())
	}
	if p := stream.NewPiece(nil, func(b []byte) []byte { return b }); p.Len() != 0 || len(p.Chunk()) != 0 || (stream.Piece{}).Len() != 0 {
		t.Errorf("got %q for no content, want no chunk, which would end the response", p.Chunk())
	}
}
