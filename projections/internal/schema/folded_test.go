package schema

import (
	"encoding/json"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/clusterlite/clusterlite/events/collections"
)

// Fold finds the values that folding changes in any document, however it is written.
func TestFold(t *testing.T) {
	properties := []string{"email", "Name", ",", "naïve"}
	texts := rapid.SampledFrom([]string{"", "ada@example.com", "Ada@example.com", "ADA", "email", "Name", "naïve", "straße", "ÅNGSTRÖM", `a"b`, `A\b`, "email\":\"x", ",", "x,y", "\n"})
	values := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) any { return texts.Draw(t, "text") }),
		rapid.SampledFrom([]any{nil, true, 1.5, []any{"email", "Email"}, map[string]any{"email": "Nested", "other": "email"}}),
	)
	folder := NewValueFolder()
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.MapOf(rapid.OneOf(rapid.SampledFrom(properties), texts), values).Draw(t, "members")
		doc, err := json.Marshal(members)
		if rapid.Bool().Draw(t, "indented") {
			doc, err = json.MarshalIndent(members, "", " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{}
		for _, p := range properties {
			if text, ok := members[p].(string); ok && collections.Fold(text) != text {
				want[p] = collections.Fold(text)
			}
		}
		text, err := folder.Fold(doc, properties)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(text), &got); err != nil || !maps.Equal(got, want) {
			t.Fatalf("%s: got %s, %v, want %v", doc, text, err, want)
		}
	})
}

func BenchmarkFold(b *testing.B) {
	folder, doc := NewValueFolder(), []byte(`{"id":"0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d","version":1,"created_at":"2026-11-28T12:00:00.000Z","updated_at":"2026-11-28T12:00:00.000Z","name":"Person Number 0 With A Name","email":"person-00000001@example.com"}`)
	b.ReportAllocs()
	for b.Loop() {
		if text, err := folder.Fold(doc, []string{"email"}); text != noneFolded || err != nil {
			b.Fatal(text, err)
		}
	}
}
