package access_test

import (
	"fmt"
	"testing"

	"github.com/clusterlite/clusterlite/service/httpapi/access"
)

var note = []byte(`{"id":"01a20df2-50e7-7b2a-a562-b526911356d0","version":3,"created_at":"2026-11-24T12:00:00.000Z","updated_at":"2026-11-25T12:00:00.000Z",` +
	`"text":"about as many characters as a short note has in an application","email":"ada@example.com","owner":"ada","open":false}`)

// BenchmarkRule measures what one decision costs: Excludes and Allows for an entity, and Reading
// for a list.
func BenchmarkRule(b *testing.B) {
	for name, rule := range map[string]string{
		"role": `"editor" in auth.roles`, "owner": `old.owner == auth.sub`, "owner or open": `old.open || old.owner == auth.sub`,
	} {
		p := compile(b, fmt.Sprintf(`"x-access":{"read":%q}`, rule))
		b.Run(name+"/entity", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !p.Reader(ada).Allows(note) {
					b.Fatal("got no access, want it")
				}
			}
		})
		b.Run(name+"/list", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p.Reading(ada).Nothing() {
					b.Fatal("got no access, want it")
				}
			}
		})
	}
	b.Run("compile", func(b *testing.B) {
		set := load(b, `"x-access":{"read":"old.owner == auth.sub"},"properties":{`+properties+`}`)
		for b.Loop() {
			if _, err := access.Compile(set); err != nil {
				b.Fatal(err)
			}
		}
	})
}
