package document

import "github.com/go-json-experiment/json/jsontext"

// Check checks that bytes are a document as [Parse] returns it, compact or not. Admission applies
// this check to every record, so its result for given bytes must never change. The errors are
// those of Parse, and [ErrServerMember].
func Check(value []byte) error {
	in := newDecoder(value)
	defer in.free()
	return eachMember(in.Decoder, func(name string, _ jsontext.Value) error {
		if serverMember(name) {
			return ErrServerMember
		}
		return nil
	})
}
