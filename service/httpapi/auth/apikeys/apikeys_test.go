package apikeys_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events/document"
	"github.com/clusterlite/clusterlite/service/httpapi/auth/apikeys"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

func newKey(t testing.TB) apikeys.Key {
	t.Helper()
	k, err := apikeys.New()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTheFormOfKeys(t *testing.T) {
	k := newKey(t)
	// This is what the documentation tells scanners for secrets to look for.
	if !regexp.MustCompile(`^clk_[0-9a-hjkmnp-tv-z]{26}_[0-9a-hjkmnp-tv-z]{59}$`).MatchString(k.Text) {
		t.Errorf("got %q, want the documented form", k.Text)
	}
	if id, ok := apikeys.Parse(k.Text); !ok || id != k.ID {
		t.Errorf("got %q, %t; want the id %q", id, ok, k.ID)
	}
	if other := newKey(t); other.ID == k.ID || other.Text == k.Text || apikeys.Hash(other.Text) == apikeys.Hash(k.Text) {
		t.Errorf("got %+v twice, want different keys", k)
	}
	// The form is permanent.
	const stored, of = "clk_069jr1s0kxxjq71z38nkrkaydw_60rk4csm6mv3ee1sc5h66s35crr32chk6gtkcdsr75gp4rv4cnk0dj1nek0", "01932c07-209f-7b2b-9c3f-1a2b3c4d5e6f"
	if id, ok := apikeys.Parse(stored); !ok || id != of {
		t.Errorf("got %q, %t for a key of this form, want %q", id, ok, of)
	}
	if got, want := apikeys.Hash(stored), "DtcKP2atitLdef5GS3OJCs1JPxKYL3x1lpodEWd0C6k"; got != want {
		t.Errorf("got the hash %q, want %q", got, want)
	}
}

// A key with any character changed, removed or added is not a key.
func TestKeysWithTypingErrors(t *testing.T) {
	k := newKey(t)
	for i := range len(k.Text) {
		for _, bad := range []string{k.Text[:i] + "~" + k.Text[i+1:], k.Text[:i] + k.Text[i+1:], k.Text[:i] + "0" + k.Text[i:], k.Text[:i] + strings.ToUpper(k.Text[i:i+1]) + k.Text[i+1:]} {
			if id, ok := apikeys.Parse(bad); ok && bad != k.Text {
				t.Errorf("got %q for %q, want no key", id, bad)
			}
		}
	}
	for _, bad := range []string{"", "clk_", apikeys.Name(k.ID), k.Text + "\n", " " + k.Text} {
		if id, ok := apikeys.Parse(bad); ok {
			t.Errorf("got %q for %q, want no key", id, bad)
		}
	}
}

func TestNamesOfKeys(t *testing.T) {
	k := newKey(t)
	name := apikeys.Name(k.ID)
	if !strings.HasPrefix(k.Text, name+"_") {
		t.Errorf("got the name %q, want the beginning of the key", name)
	}
	if id, ok := apikeys.ParseName(name); !ok || id != k.ID {
		t.Errorf("got %q, %t; want %q", id, ok, k.ID)
	}
	for _, bad := range []string{"", k.ID, k.Text, strings.ToUpper(name), name[:len(name)-1] + "1", name[:len(name)-1] + "u"} {
		if id, ok := apikeys.ParseName(bad); ok && bad != name {
			t.Errorf("got %q for %q, want no name", id, bad)
		}
	}
}

// A shelf has the stored keys by their ids.
type shelf map[string]apikeys.Entity

func (s shelf) find(_ context.Context, id string) (apikeys.Entity, bool, error) {
	e, found := s[id]
	return e, found, nil
}

func (s shelf) put(t testing.TB, id string, r apikeys.Record) {
	t.Helper()
	if err := document.Check(r.Document()); err != nil {
		t.Fatalf("got %v for %s, want a document that the log accepts", err, r.Document())
	}
	version := s[id].Version + 1
	s[id] = apikeys.Entity{Version: version, Rendered: document.Render(id, version, "2026-11-27T00:00:00.000Z", "2026-11-27T00:00:00.000Z", r.Document())}
}

func newVerifier(t testing.TB, s shelf, uses *apikeys.Uses) *apikeys.Verifier {
	t.Helper()
	v, err := apikeys.NewVerifier(s.find, uses)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newUses(t testing.TB) *apikeys.Uses {
	t.Helper()
	return apikeys.OpenUses(filepath.Join(t.TempDir(), "uses"), slog.New(slog.DiscardHandler))
}

func TestVerification(t *testing.T) {
	s := shelf{}
	v := newVerifier(t, s, newUses(t))
	k, other := newKey(t), newKey(t)
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	good := apikeys.Record{Name: "ci", Roles: []string{"editor", "reader"}, ExpiresAt: &soon, Hash: apikeys.Hash(k.Text)}
	changed := func(change func(*apikeys.Record)) apikeys.Record { r := good; change(&r); return r }
	accepted := func(what string) {
		t.Helper()
		for range 2 { // the second time from memory
			who, err := v.Verify(t.Context(), k.Text)
			if err != nil || who.Name != apikeys.Name(k.ID) || !slices.Equal(who.Roles, good.Roles) || who.Has(caller.RoleAnonymous) {
				t.Errorf("%s: got %+v, %v; want the holder of the key", what, who, err)
			}
		}
	}
	rejected := func(what string) {
		t.Helper()
		for range 2 {
			if who, err := v.Verify(t.Context(), k.Text); !errors.Is(err, apikeys.ErrInvalid) || !who.IsAnonymous() {
				t.Errorf("%s: got %+v, %v; want %v", what, who, err, apikeys.ErrInvalid)
			}
		}
	}
	rejected("unknown")
	s.put(t, k.ID, good)
	accepted("good")
	for what, r := range map[string]apikeys.Record{
		"expired":             changed(func(r *apikeys.Record) { r.ExpiresAt = &past }),
		"revoked":             good.Revoked(time.Now()),
		"revoked with a hash": changed(func(r *apikeys.Record) { r.RevokedAt = &past }),
		"no hash":             changed(func(r *apikeys.Record) { r.Hash = "" }),
		"hash of another key": changed(func(r *apikeys.Record) { r.Hash = apikeys.Hash(other.Text) }),
	} {
		s.put(t, k.ID, r)
		rejected(what)
		s.put(t, k.ID, good)
		accepted("good after " + what)
	}
	s.put(t, k.ID, changed(func(r *apikeys.Record) { r.Roles = append([]string{"anonymous"}, r.Roles...) }))
	accepted("a role that no key can have")
	s[k.ID] = apikeys.Entity{Version: 99, Rendered: []byte(`{"name":7}`)}
	rejected("a record that can't be read")
	delete(s, k.ID)
	rejected("deleted")
}

// A key is not accepted, and not rejected either, while the node can't look it up.
func TestALookupThatFails(t *testing.T) {
	failure := errors.New("the file is damaged")
	v, err := apikeys.NewVerifier(func(context.Context, string) (apikeys.Entity, bool, error) {
		return apikeys.Entity{}, false, failure
	}, newUses(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), newKey(t).Text); !errors.Is(err, failure) {
		t.Errorf("got %v, want %v", err, failure)
	}
	// No lookup is needed for what is not a key.
	if _, err := v.Verify(t.Context(), "clk_x"); !errors.Is(err, apikeys.ErrInvalid) {
		t.Errorf("got %v, want %v", err, apikeys.ErrInvalid)
	}
}

func TestRecordsAreChecked(t *testing.T) {
	if err := (apikeys.Record{Name: "nightly export", Roles: []string{"reader", "users:write"}}).Check(); err != nil {
		t.Errorf("got %v, want no error", err)
	}
	for what, r := range map[string]apikeys.Record{
		"no name":         {},
		"a long name":     {Name: strings.Repeat("x", 101)},
		"a line break":    {Name: "a\nb"},
		"an empty role":   {Name: "n", Roles: []string{""}},
		"a space":         {Name: "n", Roles: []string{"a b"}},
		"anonymous":       {Name: "n", Roles: []string{"anonymous"}},
		"too many roles":  {Name: "n", Roles: slices.Repeat([]string{"r"}, 33)},
		"a control in it": {Name: "n", Roles: []string{"a\x1b[31m"}},
	} {
		var invalid *apikeys.InvalidError
		if err := r.Check(); !errors.As(err, &invalid) {
			t.Errorf("%s: got %v, want an InvalidError", what, err)
		}
	}
}

// Uses survive a restart, to the minute. A file that can't be used is no reason to fail.
func TestLastUses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "uses")
	logger := slog.New(slog.DiscardHandler)
	s, k := shelf{}, newKey(t)
	s.put(t, k.ID, apikeys.Record{Name: "ci", Hash: apikeys.Hash(k.Text)})
	uses := apikeys.OpenUses(path, logger)
	if got := uses.All(); len(got) != 0 {
		t.Errorf("got uses %v before the first one, want none", got)
	}
	v := newVerifier(t, s, uses)
	wrong := newKey(t)
	_, _ = v.Verify(t.Context(), wrong.Text)
	before := time.Now()
	if _, err := v.Verify(t.Context(), k.Text); err != nil {
		t.Fatal(err)
	}
	stopping, stop := context.WithCancel(t.Context())
	stop()
	if err := uses.Keep(stopping); err != nil {
		t.Fatal(err)
	}
	for what, u := range map[string]*apikeys.Uses{"now": uses, "after a restart": apikeys.OpenUses(path, logger)} {
		at := u.All()[k.ID]
		if before.Sub(at) > 2*time.Minute || at.After(time.Now()) || len(u.All()) != 1 {
			t.Errorf("%s: got %v, want only the use of about %s", what, u.All(), before)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := apikeys.OpenUses(path, logger).All(); len(got) != 0 {
		t.Errorf("got %v from a damaged file, want nothing", got)
	}
}

// FuzzParse checks that each text has at most one meaning, and that parsing never fails otherwise.
func FuzzParse(f *testing.F) {
	k, err := apikeys.New()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k.Text)
	f.Add(apikeys.Name(k.ID))
	f.Add("clk_" + strings.Repeat("z", 26) + "_" + strings.Repeat("z", 59))
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := apikeys.Parse(text); ok && !strings.HasPrefix(text, apikeys.Name(id)+"_") {
			t.Errorf("got id %q of %q, want the one in its text", id, text)
		}
		if id, ok := apikeys.ParseName(text); ok && apikeys.Name(id) != text {
			t.Errorf("got id %q of the name %q, which is not its name", id, text)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	s, k := shelf{}, newKey(b)
	s.put(b, k.ID, apikeys.Record{Name: "ci", Roles: []string{"editor"}, Hash: apikeys.Hash(k.Text)})
	v := newVerifier(b, s, newUses(b))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), k.Text); err != nil {
			b.Fatal(err)
		}
	}
}
