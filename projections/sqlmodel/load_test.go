package sqlmodel_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// declared are the collections of the tests.
var declared = []string{"users", "orders", "things", "a", "b"}

// load loads a model from text, as from a file m.sql.
func load(t testing.TB, text string) (*sqlmodel.Definition, error) {
	t.Helper()
	return sqlmodel.Load(t.Context(), "m", "m.sql", text, declared)
}

func mustLoad(t testing.TB, text string) *sqlmodel.Definition {
	t.Helper()
	d, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestShippedModels(t *testing.T) {
	models, err := sqlmodel.LoadFolder(t.Context(), "../../models", declared)
	names := []string{}
	for _, m := range models {
		names = append(names, m.Name)
	}
	want := []string{"customers", "search", "stats"}
	if errors.Is(err, sqlmodel.ErrNoFullText) {
		want = []string{"customers", "stats"} // the others load without it
	} else if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names, want) {
		t.Errorf("got models %v, want %v", names, want)
	}
}

func TestWhatAModelDeclares(t *testing.T) {
	d := mustLoad(t, `-- Days.
-- More of it.

-- access: "ops" in auth.roles
CREATE TABLE days (day TEXT PRIMARY KEY, n INTEGER NOT NULL, sure BOOLEAN, at TIMESTAMP, doc JSON, price REAL); -- a note: of no meaning
CREATE TABLE _private (x);
CREATE TABLE log (x);
CREATE VIEW months AS SELECT substr(day, 1, 7) AS month, n + 1 AS more, n FROM days;
CREATE TRIGGER t AFTER INSERT ON _private BEGIN INSERT INTO log SELECT CASE WHEN new.x THEN 1 ELSE 2 END; END;

-- on: orders.created, users.*
INSERT INTO days (day, n) VALUES (date(:time), ':no "parameter" -- here; ');
/* a comment; with -- on: x */
DELETE FROM days WHERE day = :id OR day = :time OR n = :id;
-- on: *
UPDATE days SET n = n + 1;

-- query: top(least integer = 1, since time)
SELECT day, n FROM days WHERE n >= :least AND day >= :since;
-- query: all_of
SELECT * FROM months;
`)
	if got, want := d.Description, "Days.\nMore of it."; got != want {
		t.Errorf("got description %q, want %q", got, want)
	}
	if got, want := d.Access, `"ops" in auth.roles`; got != want {
		t.Errorf("got access %q, want %q", got, want)
	}
	for _, c := range []struct {
		collection, kind string
		want             int
	}{{"orders", "created", 3}, {"orders", "updated", 1}, {"users", "deleted", 3}, {"things", "created", 1}, {"clusterlite_keys", "created", 0}} {
		if got := len(d.For(c.collection, kind(c.kind))); got != c.want {
			t.Errorf("got %d statements for %s.%s, want %d", got, c.collection, c.kind, c.want)
		}
	}
	var relations []string
	for _, r := range d.Relations {
		relations = append(relations, r.Name+" "+strings.Join(r.Key, ","))
	}
	if want := []string{"days day", "log rowid", "months "}; !slices.Equal(relations, want) {
		t.Errorf("got relations %q, want %q", relations, want)
	}
	var kinds []sqlmodel.Kind
	for _, c := range d.Relations[0].Columns {
		kinds = append(kinds, c.Kind)
	}
	if want := []sqlmodel.Kind{"text", "integer", "boolean", "time", "json", "number"}; !slices.Equal(kinds, want) {
		t.Errorf("got kinds %q, want %q", kinds, want)
	}
	if len(d.Queries) != 2 || len(d.Queries[0].Parameters) != 2 || !d.Queries[0].Parameters[1].Required || d.Queries[0].Parameters[0].Default != "1" {
		t.Errorf("got queries %+v, want top with least and since, and all_of", d.Queries)
	}
}

// base begins models with a mistake further down.
const base = "CREATE TABLE t (x);\n"

func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		line       int
	}{
		"empty":                     {"-- nothing\n", "creates no table", 0},
		"syntax":                    {base + "\nCREATE TABEL u (x);", `near "TABEL": syntax error`, 3},
		"no semicolon":              {base + "CREATE TABLE u (x)", "does not end with a semicolon", 2},
		"open quote":                {base + "-- on: a.created\nINSERT INTO t VALUES ('x);\n", "no closing '", 3},
		"open comment":              {base + "/* x", "no */", 2},
		"misspelt directive":        {base + "-- qery: x\nSELECT 1;", `Did you mean "query"?`, 2},
		"unknown parameter":         {base + "-- on: a.created\nINSERT INTO t VALUES (:docment);", "Did you mean :document?", 3},
		"parameter of another kind": {base + "-- on: a.created\nINSERT INTO t VALUES (?);", "parameters are written as :name", 3},
		"unknown column":            {base + "-- on: a.created\nINSERT INTO t (y) VALUES (1);", "no column named y", 3},
		"unknown table":             {base + "-- on: a.created\nDELETE FROM u;", "no such table", 3},
		"bad type":                  {base + "-- on: a.create\nDELETE FROM t;", "is not a type of events", 2},
		"bad collection":            {base + "-- on: A-.created\nDELETE FROM t;", "not the name of a collection", 2},
		"undeclared collection":     {base + "-- on: user.created\nDELETE FROM t;", `no collection "user" is declared. Did you mean "users"?`, 2},
		"reserved collection":       {base + "-- on: *, clusterlite_keys.*\nDELETE FROM t;", `no collection "clusterlite_keys" is declared; declared are a, b, orders`, 2},
		"nothing to do":             {base + "-- on: a.created\n-- on: b.created\nDELETE FROM t;", "no statement follows", 2},
		"DELETE at the beginning":   {base + "DELETE FROM t;", "before the first directive", 2},
		"CREATE for an event":       {base + "-- on: a.created\nCREATE TABLE u (x);", "CREATE statements come before", 3},
		"SELECT for an event":       {base + "-- on: a.created\nSELECT 1;", "an event runs", 3},
		"write in a query":          {base + "-- query: q\nDELETE FROM t;", "a query is a SELECT", 3},
		"write in a query's WITH":   {base + "-- query: q\nWITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a;", "a query can't write", 3},
		"two statements in a query": {base + "-- query: q\nSELECT 1 AS a;\nSELECT 2 AS b;", "one statement", 4},
		"query without statement":   {base + "-- query: q\n", "no statement follows", 2},
		"unused parameter":          {base + "-- query: q(a text)\nSELECT x FROM t;", "does not use its parameter a", 3},
		"undeclared parameter":      {base + "-- query: q\nSELECT x FROM t WHERE x = :a;", ":a is unknown here", 3},
		"bad parameter":             {base + "-- query: q(a)\nSELECT x FROM t WHERE x = :a;", "is not a parameter", 2},
		"bad type of a parameter":   {base + "-- query: q(a json)\nSELECT x FROM t WHERE x = :a;", "not a type of parameters", 2},
		"bad default":               {base + "-- query: q(a integer = x)\nSELECT x FROM t WHERE x = :a;", "must be an integer", 2},
		"reserved parameter":        {base + "-- query: q(sort text)\nSELECT x FROM t WHERE x = :sort;", "choose another", 2},
		"query with a table's name": {base + "-- query: t\nSELECT x FROM t;", "has the name of a table", 3},
		"two equal columns":         {base + "-- query: q\nSELECT x, x FROM t;", "needs a name of its own", 3},
		"nothing served":            {"CREATE TABLE _t (x);", "serves nothing", 0},
		"bad name of a table":       {"CREATE TABLE \"T t\" (x);", "is part of a URL", 0},
		"two accesses":              {"-- access: a\n-- access: b\n" + base, "more than once", 2},
		"no access":                 {"-- access:\n" + base, "needs an expression", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.text)
			var m *sqlmodel.MistakeError
			if !errors.As(err, &m) {
				t.Fatalf("got %v, want a mistake", err)
			}
			if m.Line != c.line || m.File != "m.sql" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q at line %d, want line %d and %q", err, m.Line, c.line, c.want)
			}
		})
	}
}

func TestFolder(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{"a.sql": base, "b.sql": "CREATE", "B-.sql": base, "users.json": "{}", ".c.sql": "x"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	models, err := sqlmodel.LoadFolder(t.Context(), folder, declared)
	if len(models) != 1 || models[0].Name != "a" {
		t.Errorf("got %v, want the model a", models)
	}
	for _, want := range []string{"b.sql:1: the statement does not end", "B-.sql: the name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestForbidden tries what a model must not do: at the beginning, in the statement of an event,
// and in a query.
func TestForbidden(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"attach":                    {"ATTACH 'x' AS y;", "before the first directive"},
		"pragma":                    {"PRAGMA journal_mode;", "before the first directive"},
		"temporary table":           {base + "CREATE TEMP TABLE u (x);", "temporary tables"},
		"virtual table":             {base + "CREATE VIRTUAL TABLE u USING rtree(id, a, b);", "only virtual tables"},
		"reserved name":             {"CREATE TABLE _clusterlite_x (x);", "belong to ClusterLite"},
		"random":                    {base + "-- on: a.created\nINSERT INTO t VALUES (random());", "depends on chance"},
		"RANDOM in ORDER BY":        {base + "-- on: a.created\nINSERT INTO t SELECT x FROM t ORDER BY RANDOM();", "depends on chance"},
		"random in a view":          {base + "CREATE VIEW v AS SELECT randomblob(4) AS r;", "depends on chance"},
		"random in a trigger":       {base + "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET x = random(); END;\n-- on: a.created\nINSERT INTO t VALUES (1);", "depends on chance"},
		"clock":                     {base + "-- on: a.created\nINSERT INTO t VALUES (CURRENT_TIMESTAMP);", "depends on the clock"},
		"changes":                   {base + "-- on: a.created\nINSERT INTO t VALUES (changes());", "depends on the connection"},
		"rowid of the last insert":  {base + "-- on: a.created\nINSERT INTO t VALUES (last_insert_rowid());", "depends on the connection"},
		"version":                   {base + "-- query: q\nSELECT sqlite_version() AS v FROM t;", "depends on the build"},
		"extension":                 {base + "-- query: q\nSELECT load_extension('x') AS v FROM t;", "load_extension"},
		"table of pragmas":          {base + "-- query: q\nSELECT name FROM pragma_database_list;", "can't read pragma_database_list"},
		"schema":                    {base + "-- query: q\nSELECT sql FROM sqlite_schema;", "can't read sqlite_"},
		"write of the schema":       {base + "-- on: a.created\nDELETE FROM sqlite_schema;", "sqlite_"},
		"drop in the WITH of a CTE": {base + "-- on: a.created\nWITH a AS (SELECT 1) SELECT * FROM a;", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, c.text)
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
