package sqlmodel

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// relations lists the tables and views that a model serves. Virtual tables and their shadow tables
// are not among them: queries read them.
func relations(ctx context.Context, c *connection) (found []Relation, err error) {
	// All names are read before the columns, because there is one connection.
	rows, err := c.QueryContext(ctx, `SELECT name, type = 'view' FROM pragma_table_list
		WHERE schema = 'main' AND type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name NOT LIKE '\_%' ESCAPE '\' ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	for rows.Next() {
		var r Relation
		if err := rows.Scan(&r.Name, &r.View); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		found = append(found, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	for i := range found {
		if err := found[i].describe(ctx, c); err != nil {
			return nil, err
		}
		if err := found[i].try(ctx, c); err != nil {
			return nil, &MistakeError{What: fmt.Sprintf("%s can't be read: %v", found[i].Name, err), Err: err}
		}
	}
	return found, nil
}

// try prepares a read. SQLite looks into a view only then.
func (r *Relation) try(ctx context.Context, c *connection) error {
	return c.within(reading, func() error {
		statement, err := c.PrepareContext(ctx, `SELECT * FROM "`+r.Name+`"`)
		if err != nil {
			return err
		}
		return statement.Close()
	})
}

// describe reads the columns of a table or view.
func (r *Relation) describe(ctx context.Context, c *connection) error {
	if !ValidName.MatchString(r.Name) {
		return &MistakeError{What: fmt.Sprintf("the name of the table or view %q is part of a URL, so it must be lower-case letters, digits and underscores, and begin with a letter. If it is not to be served, begin its name with an underscore", r.Name)}
	}
	rows, err := c.QueryContext(ctx, `SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid`, r.Name)
	if err != nil {
		return &MistakeError{What: fmt.Sprintf("the view %s can't be read: %v", r.Name, err), Err: err}
	}
	defer func() { _ = rows.Close() }() // it only reads
	var key []string
	for rows.Next() {
		var column Column
		var declared string
		var notNull bool
		var pk int
		if err := rows.Scan(&column.Name, &declared, &notNull, &pk); err != nil {
			return fmt.Errorf("read the columns of %s: %w", r.Name, err)
		}
		if !columnName.MatchString(column.Name) {
			return &MistakeError{What: fmt.Sprintf("the column %q of %s needs a name of its own, of letters, digits and underscores: add AS and the name", column.Name, r.Name)}
		}
		column.Kind, column.Nullable = kindOf(declared), !notNull
		r.Columns = append(r.Columns, column)
		for len(key) < pk {
			key = append(key, "")
		}
		if pk > 0 {
			key[pk-1] = column.Name
		}
	}
	if err := rows.Err(); err != nil {
		return &MistakeError{What: fmt.Sprintf("%s can't be read: %v", r.Name, err), Err: err}
	}
	if r.Key = key; !r.View && len(key) == 0 {
		r.Key = []string{"rowid"}
	}
	return nil
}

// columnName matches the names of columns. They are members of JSON objects and names of parameters.
var columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)

// kindOf returns the kind of a column with a declared type, by the rules of SQLite's affinity
// (https://www.sqlite.org/datatype3.html) after the names that it has no type for.
func kindOf(declared string) Kind {
	upper := strings.ToUpper(declared)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(upper, part) {
				return true
			}
		}
		return false
	}
	switch {
	case upper == "JSON":
		return JSON
	case has("BOOL"):
		return Boolean
	case upper == "TIME", has("TIMESTAMP", "DATETIME"):
		return Time
	case has("INT"):
		return Integer
	case has("CHAR", "CLOB", "TEXT", "DATE"):
		return Text
	case has("REAL", "FLOA", "DOUB", "NUM", "DEC"):
		return Number
	}
	return Any
}

// columnsOf returns the columns of the result of a query.
func columnsOf(ctx context.Context, c *connection, s Statement) (columns []Column, err error) {
	// The statement is not run: LIMIT 0 of a statement around it returns no row. The parameters are
	// NULL.
	args := make([]any, len(s.arguments))
	rows, err := c.QueryContext(ctx, "SELECT * FROM ("+s.sql+"\n) LIMIT 0", args...)
	if err != nil {
		return nil, explain(err)
	}
	defer func() { _ = rows.Close() }() // it only reads
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	for _, t := range types {
		if !columnName.MatchString(t.Name()) {
			return nil, fmt.Errorf("the column %q needs a name of its own, of letters, digits and underscores: add AS and the name", t.Name())
		}
		columns = append(columns, Column{Name: t.Name(), Kind: kindOf(t.DatabaseTypeName()), Nullable: true})
	}
	return columns, rows.Err()
}
