package sqlmodel

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
)

// stable are the functions of SQLite whose results depend on their arguments and on the rows alone.
const stable = `-> ->> abs avg bm25 char coalesce concat concat_ws count cume_dist dense_rank first_value format fts5
fts5_get_locale fts5_insttoken fts5_locale glob group_concat hex highlight if ifnull iif instr json json_array
json_array_insert json_array_length json_error_position json_extract json_group_array json_group_object json_insert
json_object json_patch json_pretty json_quote json_remove json_replace json_set json_type json_valid jsonb jsonb_array
jsonb_array_insert jsonb_extract jsonb_group_array jsonb_group_object jsonb_insert jsonb_object jsonb_patch jsonb_remove
jsonb_replace jsonb_set lag last_value lead length like likelihood likely lower ltrim match matchinfo max min nth_value
ntile nullif octet_length offsets optimize percent_rank printf quote rank replace round row_number rtreecheck rtreedepth
rtreenode rtrim sign snippet string_agg substr substring subtype sum total trim typeof unhex unicode unistr unistr_quote
unlikely upper zeroblob`

// TestEveryFunctionIsJudged fails if SQLite has a function of which the list does not say whether its result
// is the same on all nodes.
func TestEveryFunctionIsJudged(t *testing.T) {
	c, err := connect(t.Context(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.close() }()
	rows, err := c.QueryContext(t.Context(), "SELECT DISTINCT lower(name) FROM pragma_function_list")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	judged := map[string]bool{}
	for _, name := range strings.Fields(stable) {
		judged[name] = true
	}
	for name := range unstable {
		if judged[name] {
			t.Errorf("got %s in both lists, want it in one", name)
		}
		judged[name] = true
	}
	for name := range dateFunctions {
		judged[name] = true
	}
	seen := 0
	for ; rows.Next(); seen++ {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if !judged[name] {
			t.Errorf("got the function %s, want it in unstable, or in the list of this test if all nodes get the same result for the same arguments", name)
		}
	}
	if err := rows.Err(); err != nil || seen < 100 {
		t.Errorf("got %d functions, %v, want more", seen, err)
	}
}

// TestNoDefaultIsUnstable tries each of the other functions as the default of a column.
func TestNoDefaultIsUnstable(t *testing.T) {
	for name := range unstable {
		call := name + "()"
		if strings.HasPrefix(name, "current_") {
			call = name
		}
		if _, err := Load(t.Context(), "m", "m.sql", "CREATE TABLE t (x, y DEFAULT ("+call+"));", nil); err == nil || !strings.Contains(err.Error(), "is not allowed") {
			t.Errorf("%s: got %v, want that it is not allowed", call, err)
		}
	}
}

// TestWithoutFullText checks the error of a program that was built without FTS5, for which SQLite only says
// that there is no such module.
func TestWithoutFullText(t *testing.T) {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	_, err = db.ExecContext(t.Context(), "CREATE VIRTUAL TABLE t USING fts6 (x)")
	if err == nil {
		t.Fatal("got no error for a module that does not exist, want one")
	}
	if got := explain(errors.New(strings.Replace(err.Error(), "fts6", "fts5", 1))); !errors.Is(got, ErrNoFullText) || !strings.Contains(got.Error(), "-tags sqlite_fts5") {
		t.Errorf("got %v for %v, want %v", got, err, ErrNoFullText)
	}
	if got := explain(err); errors.Is(got, ErrNoFullText) {
		t.Errorf("got %v for another module, want SQLite's error", got)
	}
}
