package collections

import (
	"errors"
	"fmt"
	"maps"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A step is the evaluation of one schema on one value. Each nested value counts too. A
// schema that refers to itself from two branches doubles the work with each level of a
// document. Therefore the number of steps for a document is limited.
const (
	// freeSteps is the number of steps that every document may take. It takes a few
	// milliseconds.
	freeSteps = 100_000
	// stepsPerValue is the number of additional steps for each value in the document.
	stepsPerValue = 64
)

// errTooManySteps stops a validation. It is the value of a panic, because the library
// offers no other way to stop.
var errTooManySteps = errors.New("too many steps")

// idleValidators is the number of idle validators that are kept for each collection.
const idleValidators = 16

// A validator is a compiled schema that counts its steps. It checks enum and uniqueItems by
// hash, because the library compares every item with every value. Only one goroutine may
// use it at a time.
type validator struct {
	schema   *jsonschema.Schema
	document any
	left     int  // the remaining steps
	extended bool // whether left includes the steps for the document's size
}

// validators pools the idle validators of a collection.
type validators struct {
	name     string
	root     map[string]any
	shortcut *shortcut // nil if the schema has none
	idle     chan *validator
}

// newValidators creates the first validator. If that succeeds, creating further validators will
// succeed too.
func newValidators(name string, root map[string]any) (*validators, error) {
	all := &validators{name: name, root: root, shortcut: newShortcut(root), idle: make(chan *validator, idleValidators)}
	v, err := all.make()
	if err != nil {
		return nil, err
	}
	all.idle <- v
	return all, nil
}

// validate validates a document. The error is the library's, or errTooManySteps.
func (all *validators) validate(document map[string]any) error {
	if all.shortcut.accepts(document) {
		return nil
	}
	v, err := all.take()
	if err != nil {
		return err
	}
	defer func() {
		v.document = nil
		select {
		case all.idle <- v:
		default: // the pool is full
		}
	}()
	return v.validate(document)
}

func (all *validators) take() (*validator, error) {
	select {
	case v := <-all.idle:
		return v, nil
	default:
		return all.make()
	}
}

func (all *validators) make() (*validator, error) {
	v := &validator{}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	i := instrument{validator: v, compiler: c}
	instrumented := i.copy(all.root)
	if err := c.AddResource(location(all.name, ""), instrumented); err != nil {
		return nil, err
	}
	var err error
	v.schema, err = c.Compile(location(all.name, ""))
	return v, err
}

func (v *validator) validate(document any) (err error) {
	v.document, v.left, v.extended = document, freeSteps, false
	defer func() {
		if r := recover(); r == errTooManySteps { //nolint:errorlint // the exact value that was passed to panic
			err = errTooManySteps
		} else if r != nil {
			panic(r)
		}
	}()
	return v.schema.Validate(document)
}

// count counts the evaluation of a schema on a value.
func (v *validator) count(value any) {
	if v.left -= stepsOf(value); v.left >= 0 {
		return
	}
	if !v.extended {
		v.extended = true
		v.left += stepsPerValue * countValues(v.document)
	}
	if v.left < 0 {
		panic(errTooManySteps)
	}
}

// stepsOf returns the steps that the evaluation of a schema on a value takes.
func stepsOf(value any) int {
	switch value := value.(type) {
	case map[string]any:
		return 1 + len(value)
	case []any:
		return 1 + len(value)
	case string:
		return 1 + len(value)/64
	}
	return 1
}

// countValues counts the values in a document.
func countValues(value any) int {
	n := 1
	switch value := value.(type) {
	case map[string]any:
		for _, one := range value {
			n += countValues(one)
		}
	case []any:
		for _, one := range value {
			n += countValues(one)
		}
	}
	return n
}

// An instrument copies the schema from which a validator is compiled. It gives each schema in the
// copy its own format, because formats are the hook through which the library calls this package
// before it examines a value.
type instrument struct {
	validator *validator
	compiler  *jsonschema.Compiler
	made      int
}

func (i *instrument) copy(value any) any {
	schema, ok := value.(map[string]any)
	if !ok {
		return value // true or false
	}
	schema = maps.Clone(schema)
	for key, within := range schema {
		switch holds := keywords[key]; within := within.(type) {
		case map[string]any:
			switch holds {
			case aSchema:
				schema[key] = i.copy(within)
			case namedSchemas:
				named := make(map[string]any, len(within))
				for name, one := range within {
					named[name] = i.copy(one)
				}
				schema[key] = named
			}
		case []any:
			if holds == listedSchemas {
				listed := make([]any, len(within))
				for n, one := range within {
					listed[n] = i.copy(one)
				}
				schema[key] = listed
			}
		}
	}
	r := rule{validator: i.validator}
	r.format, _ = schema["format"].(string)
	if enum, ok := schema["enum"].([]any); ok {
		r.enum = newValues(enum)
		delete(schema, "enum")
	}
	if schema["uniqueItems"] == true {
		r.unique = true
		delete(schema, "uniqueItems")
	}
	i.made++
	name := fmt.Sprintf("clusterlite-%d", i.made)
	i.compiler.RegisterFormat(&jsonschema.Format{Name: name, Validate: r.check})
	schema["format"] = name
	return schema
}

// A rule is the part of one schema that this package checks itself.
type rule struct {
	validator *validator
	enum      *values
	unique    bool
	format    string
}

// A ruleError says what is wrong with a value. Its text can follow the name of the member.
type ruleError string

// Error returns the text.
func (e ruleError) Error() string { return string(e) }

func (r rule) check(value any) error {
	r.validator.count(value)
	if r.enum != nil && !r.enum.has(value) {
		return ruleError("must be one of " + list(r.enum.listed))
	}
	if r.format != "" && formatChecks[r.format](value) != nil {
		return ruleError("is not a valid " + r.format)
	}
	if items, ok := value.([]any); ok && r.unique {
		if i, j := duplicates(items); j > 0 {
			return ruleError(fmt.Sprintf("has the same item at %d and %d", i, j))
		}
	}
	return nil
}

// formatChecks are the library's checks of the formats.
var formatChecks = func() map[string]func(any) error {
	checks := map[string]func(any) error{}
	for _, format := range formats {
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		err := c.AddResource("clusterlite:///format", map[string]any{"format": format})
		if err != nil {
			panic(err) // this schema is part of the program
		}
		checks[format] = c.MustCompile("clusterlite:///format").Format.Validate
	}
	return checks
}()
