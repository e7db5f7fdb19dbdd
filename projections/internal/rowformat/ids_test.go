package rowformat

import (
	"bytes"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestPackedIDs(t *testing.T) {
	id := uuid.Must(uuid.NewV7())
	packed, ok := PackID(id.String())
	if !ok || !bytes.Equal(packed, id[:]) || FormatID(packed) != id.String() {
		t.Errorf("%s: got %x, %v, and %s back, want the same id", id, packed, ok, FormatID(packed))
	}
	for _, text := range []string{"", "x", "0193A1A0-0000-7000-8000-000000000000", id.String() + "0", id.String()[:35], id.String()[:35] + "-", "0193a1a0000070008000000000000000"} {
		if packed, ok := PackID(text); ok {
			t.Errorf("%q: got %x, want no id", text, packed)
		}
	}
}

// A packed id compares with the lowest id of a text in the same way as the texts compare.
func TestMinIDOfAText(t *testing.T) {
	ids := rapid.Custom(func(t *rapid.T) string {
		return uuid.UUID(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x0f, 0x10, 0x9a, 0x9f, 0xa0, 0xf0, 0xff}), 16, 16).Draw(t, "bytes")).String()
	})
	rapid.Check(t, func(t *rapid.T) {
		id := ids.Draw(t, "id")
		text := ids.Draw(t, "text")
		if rapid.Bool().Draw(t, "near") {
			text = id
		}
		cut := rapid.IntRange(0, len(text)).Draw(t, "cut")
		text = text[:cut] + rapid.SampledFrom([]string{"", text[cut:], "g", "-", "~", "/", ":", "Z", "0", "f", "\xff", text[cut:] + "0"}).Draw(t, "end")
		packed, _ := PackID(id)
		lowest, equal, any := minID(text)
		if got, want := any && bytes.Compare(packed, lowest) >= 0, id >= text; got != want {
			t.Fatalf("%s >= %q: got %v, want %v (lowest %x)", id, text, got, want, lowest)
		}
		if got, want := equal && bytes.Equal(packed, lowest), id == text; got != want {
			t.Fatalf("%s == %q: got %v, want %v", id, text, got, want)
		}
	})
}
