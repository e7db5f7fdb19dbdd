package auth_test

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/clusterlite/clusterlite/service/httpapi/auth"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

func TestRolesOfATokenComeFromItsClaim(t *testing.T) {
	key := newSigner(t, "1", jose.EdDSA)
	file := keyFile(t, key)
	type object = map[string]any
	for name, c := range map[string]struct {
		claim  string
		claims object
		want   []string
	}{
		"an array":                       {"roles", object{"roles": []string{"editor", "reader"}}, []string{"editor", "reader"}},
		"a role with a space":            {"roles", object{"roles": []string{"site editor"}}, []string{"site editor"}},
		"a string":                       {"roles", object{"roles": "editor"}, []string{"editor"}},
		"a list like scope":              {"scope", object{"scope": " users:read  users:write "}, []string{"users:read", "users:write"}},
		"a path":                         {"realm_access.roles", object{"realm_access": object{"roles": []string{"editor"}}}, []string{"editor"}},
		"a long path":                    {"a.b.c", object{"a": object{"b": object{"c": "editor"}}}, []string{"editor"}},
		"a path through a name with dot": {"resource_access.store.example.com.roles", object{"resource_access": object{"store.example.com": object{"roles": []string{"editor"}}}}, []string{"editor"}},
		"a URL":                          {"https://example.com/roles", object{"https://example.com/roles": []string{"editor"}}, []string{"editor"}},
		"an object under a URL":          {"https://example.com/app.roles", object{"https://example.com/app": object{"roles": []string{"editor"}}}, []string{"editor"}},
		"the exact name wins":            {"a.b", object{"a.b": "exact", "a": object{"b": "path"}}, []string{"exact"}},
		"no claim":                       {"roles", object{}, nil},
		"no claim on the path":           {"realm_access.roles", object{"realm_access": object{}}, nil},
		"a path through a text":          {"a.b", object{"a": "b"}, nil},
		"empty names on a path":          {"..", object{"": object{"": "editor"}}, nil},
		"null":                           {"roles", object{"roles": nil}, nil},
		"a number":                       {"roles", object{"roles": 7}, nil},
		"an object":                      {"roles", object{"roles": object{"admin": true}}, nil},
		"other types in an array":        {"roles", object{"roles": []any{"editor", 7, nil, []string{"admin"}, true}}, []string{"editor"}},
		"anonymous in an array":          {"roles", object{"roles": []string{"anonymous", "editor"}}, []string{"editor"}},
		"anonymous in a text":            {"roles", object{"roles": "anonymous"}, nil},
		"empty roles":                    {"roles", object{"roles": []string{"", "editor"}}, []string{"editor"}},
		"no name is set":                 {"", object{"roles": []string{"editor"}}, nil},
	} {
		v, err := auth.New(auth.Options{Keys: file, RolesClaim: c.claim, Open: func(string) bool { return false }, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		token := key.token(t, with(c.claims))
		for range 2 { // the second time from memory
			who, err := identify(v, "/users", "Bearer "+token)
			if err != nil || !slices.Equal(who.Roles, c.want) {
				t.Errorf("%s: got roles %q, %v; want %q", name, who.Roles, err, c.want)
			}
			if who.Has(caller.RoleAnonymous) {
				t.Errorf("%s: got the role anonymous for a token", name)
			}
		}
	}
}

func TestClaimsOfATokenAreThoseOfTheCaller(t *testing.T) {
	key := newSigner(t, "1", jose.EdDSA)
	v := newVerifier(t, keyFile(t, key))
	token := key.token(t, with(map[string]any{"tenant": "acme", "level": 3, "tags": []string{"a"}}))
	for range 2 { // the second time from memory
		who, err := identify(v, "/users", "Bearer "+token)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]any{"tenant": "acme", "level": 3.0, "sub": "ada", "tags": []any{"a"}} {
			if got := who.Claims[name]; fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
				t.Errorf("claim %s: got %#v, want %#v", name, got, want)
			}
		}
	}
}
