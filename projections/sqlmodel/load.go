package sqlmodel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxFile is the maximum size of a file in bytes.
const maxFile = 1 << 20

// checkTimeout bounds the time for the statements that create a model.
const checkTimeout = 10 * time.Second

// LoadFolder reads all models of a folder, sorted by name. Files of other kinds are ignored, so that
// collections can be in the same folder. declared are the names of the declared collections. It returns the models
// that are right, and the mistakes in the others.
func LoadFolder(ctx context.Context, folder string, declared []string) (models []*Definition, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read the folder of models: %w", err)
	}
	var mistakes []error
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasPrefix(name, ".") || entry.IsDir() || filepath.Ext(strings.ToLower(name)) != ".sql" {
			continue
		}
		model, err := LoadFile(ctx, filepath.Join(folder, name), declared)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		models = append(models, model)
	}
	return models, errors.Join(mistakes...)
}

// LoadFile reads one model. declared are the names of the declared collections.
func LoadFile(ctx context.Context, path string, declared []string) (*Definition, error) {
	name := strings.TrimSuffix(filepath.Base(path), ".sql")
	if !ValidName.MatchString(name) {
		return nil, &MistakeError{File: path, What: "the name of a model's file must be lower-case letters, digits and underscores, begin with a letter, and end in .sql"}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the model %s: %w", name, err)
	}
	if info.Size() > maxFile {
		return nil, &MistakeError{File: path, What: fmt.Sprintf("the file has %d bytes; the maximum is %d", info.Size(), maxFile)}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the model %s: %w", name, err)
	}
	return Load(ctx, name, path, string(text), declared)
}

// Load parses a model and tries it on an empty database in memory, so that every mistake that does
// not depend on the events is found before any is applied. file is the path for messages, and
// declared are the names of the declared collections. The error is a [MistakeError].
func Load(ctx context.Context, name, file, text string, declared []string) (*Definition, error) {
	d, err := parse(name, file, text, declared)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	c, err := connect(ctx, "", nil)
	if err != nil {
		return nil, fmt.Errorf("try the model %s: %w", name, err)
	}
	defer func() { _ = c.close() }() // it is in memory
	if err := d.create(ctx, c); err != nil {
		return nil, err
	}
	if err := d.check(ctx, c); err != nil {
		return nil, err
	}
	for _, s := range d.all() {
		if err := checkLiterals(s.Text); err != nil {
			return nil, s.mistake(err)
		}
	}
	return d, nil
}

// all returns all statements of a model.
func (d *Definition) all() []Statement {
	all := slices.Clone(d.setup)
	for _, r := range d.rules {
		all = append(all, r.statements...)
	}
	for _, q := range d.Queries {
		all = append(all, q.Statement)
	}
	return all
}

// create runs the statements that create the model.
func (d *Definition) create(ctx context.Context, c *connection) error {
	for _, s := range d.setup {
		err := c.within(setup, func() error {
			_, err := c.ExecContext(ctx, s.sql)
			return err
		})
		if err != nil {
			return s.mistake(err)
		}
	}
	return nil
}

func (s Statement) mistake(err error) *MistakeError {
	return &MistakeError{File: s.File, Line: s.Line, Statement: s.Text, What: err.Error(), Err: err}
}

// check prepares every statement of a model that has been created, and finds out what it serves.
func (d *Definition) check(ctx context.Context, c *connection) (err error) {
	prepare := func(m mode, s Statement) error {
		err := c.within(m, func() error {
			prepared, err := c.PrepareContext(ctx, s.sql)
			if err != nil {
				return err
			}
			return prepared.Close()
		})
		if err != nil {
			return s.mistake(err)
		}
		return nil
	}
	for _, r := range d.rules {
		for _, s := range r.statements {
			if err := prepare(applying, s); err != nil {
				return err
			}
		}
	}
	if d.Relations, err = relations(ctx, c); err != nil {
		var m *MistakeError
		if errors.As(err, &m) {
			m.File = d.file
		}
		return err
	}
	for i := range d.Queries {
		q := &d.Queries[i]
		if err := prepare(reading, q.Statement); err != nil {
			return err
		}
		if slices.ContainsFunc(d.Relations, func(r Relation) bool { return r.Name == q.Name }) {
			return &MistakeError{File: d.file, Line: q.Statement.Line, What: fmt.Sprintf("the query %s has the name of a table or view", q.Name)}
		}
		if q.Columns, err = columnsOf(ctx, c, q.Statement); err != nil {
			return q.Statement.mistake(err)
		}
	}
	if len(d.Relations)+len(d.Queries) == 0 {
		return &MistakeError{File: d.file, What: "the model serves nothing: it has no table or view whose name begins with a letter, and no query"}
	}
	return nil
}
