package sqlmodel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// A MistakeError is a mistake in the file of a model.
type MistakeError struct {
	// File and Line say where it is. Line is zero if it concerns the file as a whole.
	File string
	Line int
	// Statement is the statement with the mistake, or empty.
	Statement string
	// What says what is wrong.
	What string
	// Err is the error of SQLite, or nil.
	Err error
}

// Error has the place, the mistake and the beginning of the statement.
func (e *MistakeError) Error() string {
	text := e.File
	if e.Line > 0 {
		text += fmt.Sprintf(":%d", e.Line)
	}
	text += ": " + e.What
	if e.Statement != "" {
		text += ", in " + brief(e.Statement)
	}
	return text
}

// Unwrap returns the error of SQLite.
func (e *MistakeError) Unwrap() error { return e.Err }

// brief returns the beginning of a statement on one line, for messages.
func brief(statement string) string {
	const max = 100
	text := strings.Join(strings.Fields(statement), " ")
	if len(text) > max {
		text = strings.ToValidUTF8(text[:max], "") + "…"
	}
	return text
}

// ErrNoFullText means that this program was built without SQLite's full-text search.
var ErrNoFullText = errors.New("this program was built without full-text search: build it with -tags sqlite_fts5")

// explain returns an error of SQLite with what an author of models needs to know.
func explain(err error) error {
	if err != nil && strings.Contains(err.Error(), "no such module: fts5") {
		return ErrNoFullText
	}
	return err
}

// IsInterrupted reports whether a statement was ended because its time was over.
func IsInterrupted(err error) bool {
	var failure sqlite3.Error
	return errors.As(err, &failure) && failure.Code == sqlite3.ErrInterrupt
}

// Rejection returns why SQLite rejected the arguments of a statement that it has accepted without
// them, such as a malformed expression for full-text search. rejected is false for other errors.
func Rejection(err error) (reason string, rejected bool) {
	var failure sqlite3.Error
	if !errors.As(err, &failure) || failure.Code != sqlite3.ErrError {
		return "", false
	}
	return failure.Error(), true
}
