package sqlmodel

import (
	"fmt"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// A mode says what a connection may do now.
type mode int

const (
	// trusted: statements of this package. Only they touch the tables whose names begin with
	// reserved.
	trusted mode = iota
	// setup: the statements that create a model.
	setup
	// applying: the statements of an event.
	applying
	// reading: queries and the statements of requests.
	reading
)

// reserved is the prefix of the tables in which this package keeps what it knows of a model.
const reserved = "_clusterlite"

// opRecursive is a recursive WITH. The driver has no constant for it.
const opRecursive = 33

// A sandbox decides what the statements on a connection may do. SQLite asks it while it prepares a
// statement. Everything that is not listed is forbidden: attaching files, pragmas, extensions,
// temporary tables, and functions whose results differ between nodes.
type sandbox struct {
	mode mode
	// denied says what the last refused statement tried, because SQLite only says "not authorized".
	denied string
}

func (s *sandbox) deny(format string, args ...any) int {
	s.denied = fmt.Sprintf(format, args...)
	return sqlite3.SQLITE_DENY
}

// authorize is called by SQLite. The meaning of the arguments depends on the operation:
// https://www.sqlite.org/c3ref/c_alter_table.html.
func (s *sandbox) authorize(op int, first, second, database string) int {
	if s.mode == trusted {
		return sqlite3.SQLITE_OK
	}
	switch op {
	case sqlite3.SQLITE_SELECT, opRecursive:
		return sqlite3.SQLITE_OK
	case sqlite3.SQLITE_READ:
		return s.read(first)
	case sqlite3.SQLITE_FUNCTION:
		return s.function(strings.ToLower(second))
	case sqlite3.SQLITE_PRAGMA:
		// FTS5 asks for it, to notice the writes of other connections.
		if first == "data_version" && second == "" {
			return sqlite3.SQLITE_OK
		}
		return s.deny("pragmas are not allowed")
	case sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE:
		return s.write(first)
	case sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH:
		return s.deny("a model can't attach other databases")
	case sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT:
		return s.deny("a model can't begin or end transactions: each event is applied completely or not at all")
	}
	return s.create(op, first, second)
}

func (s *sandbox) read(table string) int {
	// Eponymous virtual tables such as pragma_table_info and sqlite_stmt have no effect on the model,
	// but their contents depend on the connection.
	lower := strings.ToLower(table)
	if strings.HasPrefix(lower, reserved) {
		return s.deny("%s belongs to ClusterLite", table)
	}
	if s.mode == setup {
		return sqlite3.SQLITE_OK // creating a table reads sqlite_master
	}
	for _, prefix := range []string{"pragma_", "sqlite_", "dbstat", "bytecode", "tables_used"} {
		if strings.HasPrefix(lower, prefix) {
			return s.deny("a model can't read %s", table)
		}
	}
	return sqlite3.SQLITE_OK
}

func (s *sandbox) write(table string) int {
	switch lower := strings.ToLower(table); {
	case s.mode == reading:
		return s.deny("a query can't write")
	case strings.HasPrefix(lower, reserved):
		return s.deny("%s belongs to ClusterLite", table)
	case s.mode == setup, !strings.HasPrefix(lower, "sqlite_"), lower == "sqlite_sequence":
		return sqlite3.SQLITE_OK
	}
	return s.deny("a model can't write %s", table)
}

// create authorizes the statements that create tables, indexes, views and triggers.
func (s *sandbox) create(op int, first, second string) int {
	switch op {
	case sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_VIEW, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_REINDEX:
	case sqlite3.SQLITE_CREATE_VTABLE:
		if !strings.EqualFold(second, "fts5") {
			return s.deny("the only virtual tables are those of fts5")
		}
	case sqlite3.SQLITE_CREATE_TEMP_TABLE, sqlite3.SQLITE_CREATE_TEMP_VIEW, sqlite3.SQLITE_CREATE_TEMP_INDEX, sqlite3.SQLITE_CREATE_TEMP_TRIGGER:
		return s.deny("temporary tables, views, indexes and triggers are not allowed")
	default:
		return s.deny("this kind of statement is not allowed in a model")
	}
	if s.mode != setup {
		return s.deny("only the statements before the first directive create tables")
	}
	if strings.HasPrefix(strings.ToLower(first), reserved) {
		return s.deny("names that begin with %s belong to ClusterLite", reserved)
	}
	return sqlite3.SQLITE_OK
}

// unstable are the functions whose results depend on more than the events: on chance, the clock,
// the connection or the build.
var unstable = map[string]string{
	"random": "chance", "randomblob": "chance",
	"current_timestamp": "the clock", "current_date": "the clock", "current_time": "the clock",
	"changes": "the connection", "total_changes": "the connection", "last_insert_rowid": "the connection",
	"sqlite_version": "the build", "sqlite_source_id": "the build", "sqlite_compileoption_get": "the build", "sqlite_compileoption_used": "the build", "fts5_source_id": "the build",
	"sqlite_offset": "the file", "sqlite_log": "the process",
	"load_extension": "files of the node", "fts3_tokenizer": "the process",
	"auth_enabled": "the users of the file", "authenticate": "the users of the file",
	"auth_user_add": "the users of the file", "auth_user_change": "the users of the file", "auth_user_delete": "the users of the file",
}

func (s *sandbox) function(name string) int {
	if on, ok := unstable[name]; ok {
		return s.deny("%s() is not allowed, because its result depends on %s: all nodes must build the same rows from the same events", name, on)
	}
	return sqlite3.SQLITE_OK
}

// explain adds what the sandbox refused to the error of SQLite.
func (s *sandbox) explain(err error) error {
	if err == nil {
		return nil
	}
	denied := s.denied
	s.denied = ""
	if denied != "" && (strings.Contains(err.Error(), "not authorized") || strings.Contains(err.Error(), "prohibited") || strings.Contains(err.Error(), "authorization denied")) {
		return &ForbiddenError{What: denied, Err: err}
	}
	return explain(err)
}

// A ForbiddenError says that a statement does what models must not do.
type ForbiddenError struct {
	What string
	Err  error
}

// Error says what the statement tried.
func (e *ForbiddenError) Error() string { return e.What }

// Unwrap returns the error of SQLite.
func (e *ForbiddenError) Unwrap() error { return e.Err }
