package sqlmodel_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/projections/sqlmodel"
)

// TestTheClockIsFoundInAFile checks that calls which would fail for each event are mistakes of the file, and
// that others are not.
func TestTheClockIsFoundInAFile(t *testing.T) {
	const on = base + "-- on: a.created\n"
	for text, want := range map[string]string{
		on + "INSERT INTO t VALUES (date('now'));":                                                      "m.sql:3: date('now') is not allowed",
		on + "INSERT INTO t VALUES (strftime('%s', ' NOW ', '+1 day'));":                                "m.sql:3: strftime('now') is not allowed",
		on + "INSERT INTO t VALUES (unixepoch());":                                                      "m.sql:3: unixepoch() without a time",
		on + "INSERT INTO t VALUES (strftime('%s'));":                                                   "without a time",
		on + "INSERT INTO t VALUES (datetime(:time, 'localtime'));":                                     "the modifier 'localtime'",
		on + "INSERT INTO t VALUES (coalesce(:time, (datetime /* or */ ( -- then\n 'now'))));":          "datetime('now')",
		on + "INSERT INTO t VALUES (timediff(:time, 'now'));":                                           "timediff('now')",
		base + "CREATE VIEW v AS SELECT x, julianday('now') - julianday(x) AS age FROM t;":              "m.sql:2: julianday('now')",
		base + "-- query: q\nSELECT x FROM t WHERE x > date('now');":                                    "m.sql:3: date('now')",
		base + "CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET x = time('now'); END;":            "m.sql:2: time('now')",
		base + "CREATE INDEX i ON t (date('now'));":                                                     "date('now')",
		"CREATE TABLE t (x, CHECK (x < date('now')));":                                                  "m.sql:1: date('now')",
		"CREATE TABLE t (x, y AS (date('now')));":                                                       "date('now')",
		on + "INSERT INTO t VALUES ('date(''now'')');":                                                  "",
		on + "INSERT INTO t VALUES (date(:document ->> 'now', '+1 day'));":                              "",
		on + "INSERT INTO t VALUES (date(:time, 'start of month') || 'now');":                           "",
		on + "INSERT INTO t VALUES (strftime('now', :time));":                                           "",
		"CREATE TABLE date (time TEXT DEFAULT 'now');\n-- on: a.created\nINSERT INTO date VALUES (1);":  "",
		"CREATE TABLE t (x);\nCREATE TABLE \"date\" (\"now\");\nINSERT INTO date (now) VALUES ('now');": "",
	} {
		_, err := load(t, text)
		var m *sqlmodel.MistakeError
		switch {
		case want == "":
			if err != nil {
				t.Errorf("%s: got %v, want no error", text, err)
			}
		case !errors.As(err, &m) || !strings.Contains(err.Error(), want):
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
