package document

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

var decoders = sync.Pool{New: func() any { return jsontext.NewDecoder(bytes.NewReader(nil)) }}

// Check checks that bytes are a document as [Parse] returns it, compact or not. Admission applies
// this check to every record, so its result for given bytes must never change. The errors are
// those of Parse, and [ErrServerMember].
func Check(value []byte) error {
	in := decoders.Get().(*jsontext.Decoder)
	defer decoders.Put(in)
	in.Reset(bytes.NewReader(value))
	return eachMember(in, func(name string, _ jsontext.Value) error {
		if serverMember(name) {
			return ErrServerMember
		}
		return nil
	})
}
