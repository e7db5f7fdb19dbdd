package document

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

var decoders = sync.Pool{New: func() any { return &decoder{Decoder: jsontext.NewDecoder(new(bytes.Buffer))} }}

// A decoder decodes JSON in memory. It reads a [bytes.Buffer], because jsontext parses the content of
// one in place, and copies that of other readers piece by piece.
type decoder struct {
	*jsontext.Decoder
	text bytes.Buffer
}

// newDecoder returns a decoder of text, which it does not change. The caller must free it.
func newDecoder(text []byte) *decoder {
	d := decoders.Get().(*decoder)
	d.text = *bytes.NewBuffer(text)
	d.Reset(&d.text)
	return d
}

// free makes the decoder reusable. It no longer keeps the text in memory.
func (d *decoder) free() {
	d.text = bytes.Buffer{}
	d.Reset(&d.text)
	decoders.Put(d)
}
