package events_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
)

// A text is an id only if it is a UUID in canonical form. The test puts each byte in each place of an id.
func TestPackID(t *testing.T) {
	const id = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d"
	for i := range len(id) {
		for c := range 256 {
			text := id[:i] + string([]byte{byte(c)}) + id[i+1:]
			want, err := uuid.Parse(text)
			valid := err == nil && want.String() == text
			if got, ok := events.PackID(text); ok != valid || valid && got != want {
				t.Errorf("%q: got %x, %t, want %x, %t", text, got, ok, want, valid)
			}
		}
	}
	for _, text := range []string{"", id[1:], id + "0", "{" + id + "}", "urn:uuid:" + id, "0193a1a07c1e7d2b9c550f6a2a1b3c4d"} {
		if got, ok := events.PackID(text); ok || events.ValidID(text) {
			t.Errorf("%q: got %x, want no id", text, got)
		}
	}
}
