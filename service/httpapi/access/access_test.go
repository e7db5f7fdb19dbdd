package access_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// load returns a set with the collection notes.
func load(t testing.TB, members string) *collections.Set {
	t.Helper()
	set := tryLoad(t, members)
	if set == nil {
		t.Fatal("got no collection, want one")
	}
	return set
}

// tryLoad is load for members that may be rejected. The result is nil then.
func tryLoad(t testing.TB, members string) *collections.Set {
	t.Helper()
	dir := t.TempDir()
	schema := `{"title":"notes","type":"object",` + members + `}`
	if err := os.WriteFile(filepath.Join(dir, "notes.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		return nil
	}
	return set
}

func compile(t testing.TB, members string) *access.Policy {
	t.Helper()
	policies, err := access.Compile(load(t, members+`,"properties":{`+properties+`}`))
	if err != nil {
		t.Fatal(err)
	}
	return policies.Of("notes")
}

var (
	ada   = caller.Caller{Name: "ada", Roles: []string{"editor"}, Claims: map[string]any{"team": "red", "level": 3.0, "nothing": nil}}
	admin = caller.Caller{Name: "root", Roles: []string{caller.RoleAdmin}}
)

// Null is no value: nothing but the literal null equals a missing member or an anonymous subject.
func TestEvaluation(t *testing.T) {
	const note = `{"id":"01a20df2-50e7-7b2a-a562-b526911356d0","version":3,"created_at":"2026-11-24T12:00:00.000Z","updated_at":"2026-11-25T12:00:00.000Z",
		"owner":"ada","team":null,"level":5.0,"open":true,"members":["ada","bob",7],"score":1.5,"place":{"city":"Ulm","zip":null},"other":[1,null]}`
	for rule, want := range map[string]struct{ ada, anonymous bool }{
		`true`:                                {true, true},
		`auth != null`:                        {true, false},
		`auth == null`:                        {false, true},
		`null == auth.sub`:                    {false, true},
		`auth.sub != null`:                    {true, false},
		`old.owner == auth.sub`:               {true, false},
		`!(old.owner == auth.sub)`:            {false, false},
		`old.owner != auth.sub`:               {false, false},
		`old.team == auth.sub`:                {false, false}, // both are null for anonymous
		`old.team != auth.sub`:                {false, false},
		`old.team == null`:                    {true, true},
		`old.email == null && !has(old.team)`: {true, true},
		`has(old.owner)`:                      {true, true},
		`old.team == "red" || old.open`:       {true, true},
		`old.team == "red" && old.open`:       {false, false},
		`!(old.team == "red")`:                {false, false},
		`"editor" in auth.roles`:              {true, false},
		`"anonymous" in auth.roles`:           {false, true},
		`auth.claims.team == "red"`:           {true, false},
		`auth.claims.level >= 3`:              {true, false},
		`auth.claims.nothing == null`:         {true, true},
		`auth.claims == null`:                 {false, true},
		`auth.claims.other == "x"`:            {false, false},
		`old.level == 5 && old.version == 3`:  {true, true},
		`old.level >= auth.claims.level`:      {true, false},
		`auth.sub in old.members`:             {true, false},
		`old.owner in ["ada", "eve"]`:         {true, true},
		`old.open ? true : false`:             {true, true},
		`old.id.startsWith("01a2")`:           {true, true},
		`old.created_at < old.updated_at`:     {true, true},
		`old.score == null`:                   {false, false},
	} {
		p := compile(t, fmt.Sprintf(`"x-access":{"read":%q}`, rule))
		if got := p.MayRead(ada, []byte(note)); got != want.ada {
			t.Errorf("%s for ada: got %t, want %t", rule, got, want.ada)
		}
		if got := p.MayRead(caller.Anonymous, []byte(note)); got != want.anonymous {
			t.Errorf("%s for anonymous: got %t, want %t", rule, got, want.anonymous)
		}
	}
	// Rules for writes can use all of CEL, and members of any kind.
	for rule, want := range map[string]bool{
		`old.place.city == "Ulm" && new.score > 1.0`:                                    true,
		`new.place.zip == null`:                                                         true,
		`old.other[0] == 1 && old.other.size() == 2`:                                    true,
		`new.members.exists(m, m == auth.sub)`:                                          true,
		`new.members.all(m, m in old.members)`:                                          true,
		`new.owner == old.owner && new.version > 1`:                                     true,
		`old.owner.size() == 3 && old.owner.matches("^a")`:                              true,
		`new.members.all(a, new.members.all(b, new.members.all(c, a + b + c != "zz")))`: false, // fails for the item that is no text
	} {
		p := compile(t, fmt.Sprintf(`"x-access":{"update":%q}`, rule))
		if got := p.Allows(access.Update, ada, []byte(note), []byte(note)); got != want {
			t.Errorf("%s: got %t, want %t", rule, got, want)
		}
	}
}

// An expression that takes too many steps fails, and so gives no access.
func TestCostLimit(t *testing.T) {
	p := compile(t, `"x-access":{"create":"new.members.all(a, new.members.all(b, new.members.all(c, a + b + c != \"zzz\")))"}`)
	entity := func(n int) []byte {
		return []byte(`{"id":"x","members":["a"` + strings.Repeat(`,"b"`, n-1) + `]}`)
	}
	if !p.Allows(access.Create, ada, nil, entity(5)) {
		t.Error("5 items: got no access, want it")
	}
	start := time.Now()
	if p.Allows(access.Create, ada, nil, entity(5000)) {
		t.Errorf("5000 items: got access after %v, want the evaluation to fail", time.Since(start))
	}
}

// Mistakes are found when the process starts, with their place.
func TestMistakesInRules(t *testing.T) {
	for members, want := range map[string]string{
		`"x-access":{"read":"old.owner == "}`:                                                                              "collection notes: /x-access/read: line 1, column 14 of the expression: Syntax error",
		`"x-access":{"read":"old.ower == auth.sub"}`:                                                                       "/x-access/read: line 1, column 4 of the expression: undefined field 'ower'",
		`"x-access":{"read":"auth.user == 'x'"}`:                                                                           "undefined field 'user'",
		`"x-access":{"create":"true &&\n new.ower == 'x'"}`:                                                                "/x-access/create: line 2, column 5",
		`"x-access":{"read":"old.owner"}`:                                                                                  "the result must be of the type bool, not string",
		`"x-access":{"read":"old.level == 'x'"}`:                                                                           "found no matching overload for '_==_'",
		`"x-access":{"read":"new.open"}`:                                                                                   "a read has no new",
		`"x-access":{"create":"old.open"}`:                                                                                 "a create has no old",
		`"x-access":{"delete":"new.open"}`:                                                                                 "a delete has no new",
		`"x-access":{"read":"old.open && old.score > 1.0"}`:                                                                "/x-access/read: line 1, column 16 of the expression: a read rule can't use the value of score",
		`"x-access":{"read":"old.place.city == 'x'"}`:                                                                      "a read rule can only use members at the top",
		`"x-access":{"read":"old.other == 'x'"}`:                                                                           "a read rule can't use the value of other",
		`"x-access":{"read":"old.owner.matches('a')"}`:                                                                     "a read rule can't call matches",
		`"x-access":{"read":"old.owner + 'x' == 'y'"}`:                                                                     "a read rule can only use members",
		`"x-access":{"read":"old.members.exists(m, m == 'x')"}`:                                                            "a read rule can't loop",
		`"x-access":{"read":"old.open < true"}`:                                                                            "only with == and !=",
		`"x-access":{"read":"old == old"}`:                                                                                 "a read rule",
		`"x-access":{"read":"old.owner == null == null"}`:                                                                  "found no matching overload",
		`"properties":{"a":{"type":"string","x-default":"old.a"}}`:                                                         "/properties/a/x-default: line 1, column 1 of the expression: undeclared reference to 'old'",
		`"properties":{"a":{"type":"string","x-default":"auth.roles"}}`:                                                    "the result must be of the type string, not list(string)",
		`"x-access":{"read":"` + strings.Repeat("(", 100) + `true` + strings.Repeat(")", 100) + `"}`:                       "/x-access/read",
		`"x-access":{"read":"` + strings.Repeat("old.open == old.open && ", 160) + `true"}`:                                "too complex",
		`"x-access":{"read":"` + strings.Repeat("true && ", 600) + `true"}`:                                                "exceeds",
		`"x-access":{"read":"` + strings.Repeat("(", 20) + `old.open` + strings.Repeat(" ? old.locked : true)", 20) + `"}`: "too complex",
	} {
		if !strings.Contains(members, `"properties"`) {
			members += `,"properties":{` + properties + `}`
		}
		_, err := access.Compile(load(t, members))
		var mistake *access.RuleError
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %v, want %s", members, err, want)
		}
	}
}

// A member that x-access leaves out lets only administrators in, and no x-access lets everyone in
// who has credentials. No rule applies to administrators, or without authentication.
func TestWhoIsLetIn(t *testing.T) {
	entity := []byte(`{"id":"x","owner":"ada"}`)
	const no, constantly, yes = "no", "never", "yes"
	for _, c := range []struct {
		name, members         string
		anonymous, ada, admin string
	}{
		{"no rules", `"description":"d"`, constantly, yes, yes},
		{"no member", `"x-access":{}`, constantly, constantly, yes},
		{"everyone", `"x-access":{"read":"true","update":"true"}`, yes, yes, yes},
		{"a role", `"x-access":{"read":"'editor' in auth.roles","update":"'editor' in auth.roles"}`, constantly, yes, yes},
		{"nobody", `"x-access":{"read":"false","update":"false"}`, constantly, constantly, yes},
		{"another", `"x-access":{"read":"old.owner == 'bob'","update":"new.owner == 'bob'"}`, no, no, yes},
		{"who decides alone", `"x-access":{"read":"auth != null && old.owner == 'bob'","update":"auth.sub == old.owner && new.owner.matches('x')"}`, constantly, no, yes},
	} {
		p := compile(t, c.members)
		for who, want := range map[string]string{"": c.anonymous, "ada": c.ada, "root": c.admin} {
			asker := map[string]caller.Caller{"": caller.Anonymous, "ada": ada, "root": admin}[who]
			for _, a := range []access.Action{access.Read, access.Update} {
				got := no
				switch {
				case p.Excludes(a, asker):
					got = constantly
				case p.Allows(a, asker, entity, entity):
					got = yes
				}
				if got != want {
					t.Errorf("%s: %v by %q: got %s, want %s", c.name, a, who, got, want)
				}
			}
		}
	}
	var off *access.Policies
	if p := off.Of("notes"); !p.Allows(access.Delete, caller.Anonymous, entity, nil) || p.Excludes(access.Read, caller.Anonymous) || !p.Reading(caller.Anonymous).Everything() || p.Defaults(ada) != nil {
		t.Error("without authentication: got rules, want none")
	}
}

func TestAnonymousIsAdmitted(t *testing.T) {
	for members, want := range map[string]bool{
		`"description":"d"`:                           false,
		`"x-access":{"read":"auth != null"}`:          false,
		`"x-access":{"read":"old.open"}`:              true,
		`"x-access":{"create":"true"}`:                true,
		`"x-access":{"create":"new.open"}`:            true,
		`"x-access":{"read":"old.owner == auth.sub"}`: false,
	} {
		policies, err := access.Compile(load(t, members+`,"properties":{`+properties+`}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := policies.AdmitAnonymous("notes"); got != want {
			t.Errorf("%s: got %t, want %t", members, got, want)
		}
		if policies.AdmitAnonymous("users") || policies.AdmitAnonymous("nothing") {
			t.Errorf("%s: got another collection open, want it closed", members)
		}
	}
}

func TestDefaults(t *testing.T) {
	p := compile(t, `"x-access":{"read":"true"}`)
	if got := p.Defaults(ada); got != nil {
		t.Errorf("without x-default: got %v, want nothing", got)
	}
	policies, err := access.Compile(load(t, `"properties":{"owner":{"type":"string","x-default":"auth.sub"},"team":{"type":"string","x-default":"auth.claims.team"},
		"level":{"type":"integer","x-default":"auth.claims.level"},"wrong":{"type":"boolean","x-default":"auth.claims.team"},"staff":{"type":"boolean","x-default":"'editor' in auth.roles"}}`))
	if err != nil {
		t.Fatal(err)
	}
	p = policies.Of("notes")
	want := map[string]any{"owner": "ada", "team": "red", "level": int64(3), "wrong": nil, "staff": true}
	if got := p.Defaults(ada); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	want = map[string]any{"owner": nil, "team": nil, "level": nil, "wrong": nil, "staff": false}
	if got := p.Defaults(caller.Anonymous); !reflect.DeepEqual(got, want) {
		t.Errorf("anonymous: got %v, want %v", got, want)
	}
	if got := p.Defaults(admin); got["owner"] != "root" {
		t.Errorf("an administrator: got %v, want root as the owner", got)
	}
}

// Different scopes have different keys.
func TestKeysOfScopes(t *testing.T) {
	seen := map[string]string{}
	for _, rule := range []string{
		`old.open`, `!old.open`, `old.owner == "a"`, `old.owner == "b"`, `old.owner != "a"`, `old.team == "a"`, `old.owner in ["a"]`, `old.owner in ["a","b"]`, `old.owner in ["a,b"]`,
		`"a" in old.members`, `!("a" in old.members)`, `has(old.owner)`, `!has(old.owner)`, `old.owner < old.team`, `old.owner > old.team`, `old.level == 1`, `old.rank == 1`,
		`old.open && old.locked`, `old.open || old.locked`, `old.owner == "a" && old.team == "b"`, `old.owner.startsWith("a")`, `auth.claims.level in old.members || !(auth.claims.level in old.members)`,
	} {
		key := string(compile(t, fmt.Sprintf(`"x-access":{"read":%q}`, rule)).Reading(ada).AppendKey(nil))
		if other, twice := seen[key]; twice || key == "" {
			t.Errorf("%s: got the key %q, which is that of %q, want another", rule, key, other)
		}
		seen[key] = rule
	}
}

// A rule that selects the entities of a caller by members without an index makes lists slow.
func TestUnindexed(t *testing.T) {
	for rule, want := range map[string][]string{
		`old.team == auth.sub`:                                     {"team"},
		`old.team == auth.claims.team && old.rank == 3`:            {"team", "rank"},
		`old.open && (old.team in auth.roles && old.open)`:         {"team"},
		`old.owner == auth.sub`:                                    nil, // has an index
		`old.team == auth.sub && old.owner == "ada"`:               nil,
		`old.team == auth.sub && (old.open && old.owner == "ada")`: nil,
		`"editor" in auth.roles`:                                   nil,
		`old.team != auth.sub`:                                     nil, // most entities
		`old.open || old.team == auth.sub`:                         nil,
		`true`:                                                     nil,
	} {
		policies, err := access.Compile(load(t, fmt.Sprintf(`"x-access":{"read":%q},"properties":{%s}`, rule, properties)))
		if err != nil {
			t.Fatal(err)
		}
		if got := policies.Unindexed()["notes"]; !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", rule, got, want)
		}
	}
}
