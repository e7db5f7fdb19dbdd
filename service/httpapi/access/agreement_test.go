package access_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// properties are those of the collection in these tests.
const properties = `"owner":{"type":"string","x-index":true},"team":{"type":["string","null"]},"email":{"type":"string","x-unique":"nocase"},
	"level":{"type":"integer"},"rank":{"type":"integer"},"open":{"type":"boolean"},"locked":{"type":"boolean"},
	"members":{"type":"array","items":{"type":"string"}},"score":{"type":"number"},"place":{"type":"object"},"other":true`

// texts, and other values, that rows, callers and rules share, so that comparisons are often true.
var (
	someTexts = []string{`ada`, `Ada`, `bob`, ``, `5`, `1`, `true`, `x\ny`, `é`, `a\u0000b`, `a`, `\ud83d\ude00`, `z%_`}
	someJSON  = []string{`null`, `true`, `false`, `5`, `5.0`, `-1`, `0.5e1`, `1e3`, `9007199254740993`, `9007199254740992.0`, `9223372036854775807`,
		`9223372036854775808`, `-9223372036854775808`, `123456789012345678901234567890`, `5.5`, `{}`, `{"a":1}`, `[]`, `["ada","5"]`, `["bob",5,null]`, `[5,true,"ada"]`}
)

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// randomRow returns a document. Half of its members are of their declared types.
func randomRow(r *rand.Rand) string {
	typed := map[string]func() string{
		"owner": func() string { return `"` + pick(r, someTexts) + `"` }, "team": func() string { return `"` + pick(r, someTexts) + `"` },
		"email": func() string { return `"` + pick(r, someTexts) + `"` },
		"level": func() string { return pick(r, someJSON[3:13]) }, "rank": func() string { return fmt.Sprint(r.IntN(7)) },
		"open": func() string { return pick(r, someJSON[1:3]) }, "locked": func() string { return pick(r, someJSON[1:3]) },
		"members": func() string { return pick(r, someJSON[17:]) }, "score": func() string { return pick(r, someJSON[3:8]) },
	}
	var members []string
	for name, value := range typed {
		switch r.IntN(6) {
		case 0: // missing
		case 1:
			members = append(members, `"`+name+`":`+pick(r, someJSON))
		case 2:
			members = append(members, `"`+name+`":"`+pick(r, someTexts)+`"`)
		default:
			members = append(members, `"`+name+`":`+value())
		}
	}
	return `{` + strings.Join(members, `,`) + `}`
}

// randomRule returns an expression that is a truth value. Most can be compiled for reads.
func randomRule(r *rand.Rand, depth int) string {
	if depth > 0 && r.IntN(3) > 0 {
		a, b := randomRule(r, depth-1), randomRule(r, depth-1)
		switch r.IntN(6) {
		case 0, 1:
			return "(" + a + " && " + b + ")"
		case 2, 3:
			return "(" + a + " || " + b + ")"
		case 4:
			return "!(" + a + ")"
		default:
			return "(" + randomRule(r, 0) + " ? " + a + " : " + b + ")"
		}
	}
	literal := func() string { return `"` + pick(r, someTexts) + `"` }
	textColumn := func() string {
		return "old." + pick(r, []string{"owner", "team", "email", "id", "created_at"})
	}
	wholeColumn := func() string { return "old." + pick(r, []string{"level", "rank", "version"}) }
	boolColumn := func() string { return "old." + pick(r, []string{"open", "locked"}) }
	claim := func() string {
		return "auth.claims." + pick(r, []string{"team", "level", "flag", "groups", "none", "nested.team"})
	}
	callerText := func() string { return pick(r, []string{"auth.sub", literal(), claim(), `string(` + claim() + `)`}) }
	callerWhole := func() string {
		return pick(r, []string{fmt.Sprint(r.IntN(8) - 1), "9007199254740993", claim(), "size(auth.roles)"})
	}
	equality := pick(r, []string{"==", "!="})
	compare := pick(r, []string{"==", "!=", "<", "<=", ">", ">="})
	switch r.IntN(16) {
	case 0:
		return textColumn() + " " + equality + " " + callerText()
	case 1:
		return callerText() + " " + compare + " " + textColumn()
	case 2:
		return wholeColumn() + " " + compare + " " + callerWhole()
	case 3:
		return callerWhole() + " " + compare + " " + wholeColumn()
	case 4:
		return boolColumn()
	case 5:
		return boolColumn() + " " + equality + " " + pick(r, []string{"true", boolColumn(), claim(), `("admin" in auth.roles)`, "(" + randomRule(r, 0) + ")"})
	case 6:
		return textColumn() + " in " + pick(r, []string{"auth.roles", "auth.claims.groups", `["ada", "5"]`, claim(), `[auth.sub, "bob"]`})
	case 7:
		return wholeColumn() + " in " + pick(r, []string{"[1, 2, 5]", "auth.claims.levels"})
	case 8:
		return callerText() + " in old.members"
	case 9:
		return textColumn() + ".startsWith(" + callerText() + ")"
	case 10:
		return pick(r, []string{"old.owner", "old.score", "old.members", "old.other", "old.level", "old.place", "old.version", "auth", "auth.sub", "auth.claims", "auth.claims.team", "auth.claims.none"}) + " " + equality + " null"
	case 11:
		return "has(" + pick(r, []string{"old.team", "old.score", "old.open", "auth.claims.team", "auth.sub"}) + ")"
	case 12:
		return textColumn() + " " + compare + " " + textColumn()
	case 13:
		return wholeColumn() + " " + compare + " " + wholeColumn()
	case 14:
		return pick(r, []string{`"anonymous" in auth.roles`, `"editor" in auth.roles`, "true", "false", `auth.roles.exists(r, r.startsWith("a"))`, `auth.claims.level > 3`, `auth.claims.flag`, `auth.sub.matches("^a")`})
	default:
		return `(` + callerText() + " " + equality + " " + callerText() + `)`
	}
}

var someCallers = []caller.Caller{
	caller.Anonymous,
	{Name: "ada", Roles: []string{"editor", "Ada"}, Claims: map[string]any{"team": "bob", "level": 5.0, "flag": true, "groups": []any{"ada", 5.0, nil}, "levels": []any{5.0, "x", 1.5}, "nested": map[string]any{"team": "é"}}},
	{Name: "bob", Roles: []string{caller.RoleAnonymous, "5"}, Claims: map[string]any{"team": 5.0, "level": "5", "flag": "true", "groups": "ada", "levels": map[string]any{"1": 1.0}}},
	{Name: "5", Claims: map[string]any{"team": nil, "level": 5.5, "flag": nil, "groups": map[string]any{"ada": 1.0}, "levels": []any{}}},
	{Name: "a\x00b", Roles: []string{"admins"}, Claims: map[string]any{"level": 9007199254740993.0, "team": "a"}},
	{Name: "a"},
}

// rows is a read model with random rows.
type rows struct {
	model    *servicetest.Model
	rendered map[string][]byte // by id
	versions map[string]*access.Version
}

func newRows(t testing.TB, r *rand.Rand, n int) rows {
	t.Helper()
	set := load(t, `"properties":{`+properties+`}`)
	log := servicetest.StartBroker(t).OpenLog()
	m := rows{servicetest.OpenModel(t, log, set).Follow(), map[string][]byte{}, map[string]*access.Version{}}
	var at events.Position
	for i := range n {
		var err error
		at, err = log.Append(t.Context(), events.Event{
			ID: uuid.Must(uuid.NewV7()).String(), Source: "/test", Collection: "notes", EntityID: uuid.Must(uuid.NewV7()).String(), Kind: events.Created, Version: 1,
			Time: time.Date(2026, 11, 24, 12, 0, i, 0, time.UTC), Document: []byte(randomRow(r)),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := m.model.WaitFor(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	s := m.begin(t)
	if _, err := s.List(t.Context(), "notes", query.Query{}, func(rendered []byte) error {
		m.rendered[idIn(rendered)] = slices.Clone(rendered)
		m.versions[idIn(rendered)] = versionOf(t, rendered)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(m.rendered) != n {
		t.Fatalf("got %d rows, want %d", len(m.rendered), n)
	}
	return m
}

func (m rows) begin(t testing.TB) *reads.Tx {
	t.Helper()
	s, err := m.model.BeginRead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// versionOf returns a rendered entity in the form that histories have.
func versionOf(t testing.TB, rendered []byte) *access.Version {
	t.Helper()
	var members map[string]json.RawMessage
	var server struct {
		ID        string
		Version   int64
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
	}
	err := errors.Join(json.Unmarshal(rendered, &server), json.Unmarshal(rendered, &members))
	for _, name := range []string{"id", "version", "created_at", "updated_at"} {
		delete(members, name)
	}
	rest, failed := json.Marshal(members)
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	return &access.Version{ID: server.ID, Version: server.Version, UpdatedAt: server.UpdatedAt, Document: rest,
		CreatedAt: func() (time.Time, error) { return server.CreatedAt, nil }}
}

func idIn(rendered []byte) string { return string(rendered[7:43]) }

// check compares what SQL lets through with what the expression evaluates to, for each row and
// caller. visible and hidden count the answers.
func (m rows) check(t testing.TB, rule string, callers []caller.Caller) (visible, hidden int) {
	t.Helper()
	literal, err := json.Marshal(rule)
	if err != nil {
		t.Fatal(err)
	}
	set := tryLoad(t, fmt.Sprintf(`"x-access":{"read":%s},"properties":{%s}`, literal, properties))
	if set == nil {
		return 0, 0
	}
	policies, err := access.Compile(set)
	if err != nil {
		return 0, 0 // the generator also writes rules that can't be compiled
	}
	policy := policies.Of("notes")
	s := m.begin(t)
	defer func() { _ = s.Close() }()
	for _, who := range callers {
		scope := policy.Reading(who)
		q := query.Query{Condition: scope.Condition()}
		listed := map[string]bool{}
		if _, err := s.List(t.Context(), "notes", q, func(rendered []byte) error {
			listed[idIn(rendered)] = true
			return nil
		}); err != nil {
			t.Fatalf("%s: %v", rule, err)
		}
		count, err := s.Count(t.Context(), "notes", q)
		if err != nil || count != int64(len(listed)) {
			t.Fatalf("%s: got a count of %d, %v, want %d", rule, count, err, len(listed))
		}
		if scope.Nothing() && len(listed) > 0 || scope.Everything() && len(listed) < len(m.rendered) {
			t.Fatalf("%s: got %d entities, but the scope says that it has nothing (%t) or everything (%t)", rule, len(listed), scope.Nothing(), scope.Everything())
		}
		for id, rendered := range m.rendered {
			want := policy.Evaluates(who, rendered)
			if got := policy.MayRead(who, rendered); got != want {
				t.Fatalf("the rule %s for %q and %s: MayRead says %t, CEL %t", rule, who.Name, rendered, got, want)
			}
			if got := policy.Reader(who).AllowsVersion(m.versions[id]); got != want {
				t.Fatalf("the rule %s for %q and %s: AllowsVersion says %t, CEL %t", rule, who.Name, rendered, got, want)
			}
			if want {
				visible++
			} else {
				hidden++
			}
			if listed[id] != want {
				t.Fatalf("the rule %s for %q and %s: SQL says %t, the evaluation %t", rule, who.Name, rendered, listed[id], want)
			}
		}
	}
	return visible, hidden
}

// For random rules, rows and callers, SQL lets through the entities for which the expression is
// true.
func TestSQLAgreesWithTheEvaluation(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test
	m := newRows(t, r, 60)
	compiled, visible, hidden := 0, 0, 0
	for range 400 {
		yes, no := m.check(t, strings.ReplaceAll(randomRule(r, 3), "\x00", `\x00`), someCallers)
		if yes+no > 0 {
			compiled++
		}
		visible, hidden = visible+yes, hidden+no
	}
	t.Logf("%d rules compiled; %d times visible, %d times hidden", compiled, visible, hidden)
	if compiled < 200 || visible < 1000 || hidden < 1000 {
		t.Errorf("got %d rules, %d visible, %d hidden: the rules are too much alike to show anything", compiled, visible, hidden)
	}
}

// No expression makes the compiler panic, and what it compiles for reads agrees with the evaluation.
func FuzzRules(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	for range 40 {
		f.Add(randomRule(r, 2))
	}
	for _, seed := range []string{
		``, `old`, `auth == null`, `has(old.owner)`, `old.owner == "a" ? old.open : !old.open`, `old.members.exists(m, m == auth.sub)`,
		`[old.owner] == ["a"]`, `{"a": old.open}.a`, `old.owner in {"a": 1}`, `old.level == 1u`, `auth.claims[auth.sub] == old.owner`,
		`old.created_at > string(timestamp("2026-01-01T00:00:00Z"))`, `b"a" == bytes(old.owner)`,
	} {
		f.Add(seed)
	}
	m := newRows(f, r, 25)
	m.model.Stop() // what runs in the background would look like new coverage
	f.Fuzz(func(t *testing.T, rule string) {
		if !utf8.ValidString(rule) {
			t.Skip("a file of a collection is UTF-8")
		}
		m.check(t, rule, someCallers)
	})
}
