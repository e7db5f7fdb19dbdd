package access

import (
	"encoding/json"
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
)

// The limits of expressions.
const (
	// maxExpression is the maximum length of an expression in characters.
	maxExpression = 4096
	// maxDepth is the maximum depth to which an expression may be nested.
	maxDepth = 40
	// maxCost bounds the evaluation of an expression with a loop or a regular expression, in the
	// unit of CEL: about one for each operation, and for each ten characters. An evaluation that
	// exceeds it fails, and gives no access.
	maxCost = 100_000
)

// The names of the variables, and of their types.
const (
	authName, oldName, newName = "auth", "old", "new"
	authType, entityType       = "auth", "entity"
)

// kind is the kind of a declared member.
type kind int

const (
	anything kind = iota
	text
	integer
	number
	boolean
	texts // an array of texts
	list
	object
)

var celTypes = map[kind]*types.Type{
	anything: types.DynType, text: types.StringType, integer: types.IntType, number: types.DoubleType, boolean: types.BoolType,
	texts: types.NewListType(types.StringType), list: types.NewListType(types.DynType), object: types.NewMapType(types.StringType, types.DynType),
}

var kinds = map[string]kind{"string": text, "integer": integer, "number": number, "boolean": boolean, "array": list, "object": object}

// An environment compiles the expressions of one collection.
type environment struct {
	collection string
	kinds      map[string]kind // of the members of an entity
	columns    map[string]query.Column
	base       *cel.Env
}

func newEnvironment(c *collections.Collection) (*environment, error) {
	e := &environment{collection: c.Name(), columns: map[string]query.Column{}}
	var err error
	if e.kinds, err = memberKinds(c); err != nil {
		return nil, err
	}
	for _, column := range query.Columns(c) {
		e.columns[column.Name()] = column
	}
	return e, e.prepare()
}

// prepare makes what all expressions of the environment share.
func (e *environment) prepare() error {
	registry, err := types.NewRegistry()
	if err != nil {
		return err
	}
	e.base, err = cel.NewEnv(
		cel.CustomTypeAdapter(registry), cel.CustomTypeProvider(&provider{registry, e.kinds}),
		cel.Variable(authName, types.NewObjectType(authType)),
		cel.ParserExpressionSizeLimit(maxExpression), cel.ParserRecursionLimit(maxDepth),
	)
	return err
}

// memberKinds returns the kinds of all members that expressions can refer to.
func memberKinds(c *collections.Collection) (map[string]kind, error) {
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(c.Schema(), &schema); err != nil {
		return nil, fmt.Errorf("read the schema of %s: %w", c.Name(), err)
	}
	all := map[string]kind{"id": text, "version": integer, "created_at": text, "updated_at": text}
	for name, property := range schema.Properties {
		all[name] = kindOf(property)
	}
	return all, nil
}

func kindOf(property json.RawMessage) kind {
	var schema struct {
		Type  any
		Items struct{ Type any }
	}
	// Another form, such as true, or items that are not a schema, says nothing about the kind.
	if err := json.Unmarshal(property, &schema); err != nil && schema.Type == nil {
		return anything
	}
	declared, one := single(schema.Type)
	if !one {
		return anything
	}
	if item, one := single(schema.Items.Type); kinds[declared] == list && one && kinds[item] == text {
		return texts
	}
	return kinds[declared]
}

// single returns the type that a schema's type keyword names besides null.
func single(declared any) (name string, ok bool) {
	switch t := declared.(type) {
	case string:
		return t, true
	case []any:
		for _, one := range t {
			s, _ := one.(string)
			switch {
			case s == "null":
			case name == "":
				name = s
			default:
				return "", false
			}
		}
	}
	return name, name != ""
}

// compile checks an expression in which the given variables stand for entities.
func (e *environment) compile(member, expression string, want []*types.Type, entities ...string) (*cel.Env, *cel.Ast, error) {
	options := make([]cel.EnvOption, len(entities))
	for i, name := range entities {
		options[i] = cel.Variable(name, types.NewObjectType(entityType))
	}
	env, err := e.base.Extend(options...)
	if err != nil {
		return nil, nil, err
	}
	parsed, issues := env.Parse(expression)
	if issues.Err() != nil {
		return nil, nil, e.mistakes(member, issues)
	}
	replaceNullTests(parsed.NativeRep().Expr())
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		return nil, nil, e.mistakes(member, issues)
	}
	for _, t := range want {
		if checked.OutputType().IsExactType(t) {
			return env, checked, nil
		}
	}
	return nil, nil, e.mistake(member, 1, 0, "the result must be of the type %s, not %s", want[0], checked.OutputType())
}

func (e *environment) mistake(member string, line, column int, format string, args ...any) error {
	return &RuleError{e.collection, member, max(line, 1), max(column, 0) + 1, fmt.Sprintf(format, args...)}
}

// mistakes returns an error for each mistake that the library has found.
func (e *environment) mistakes(member string, issues *cel.Issues) error {
	var errs []error
	for _, i := range issues.Errors() {
		errs = append(errs, e.mistake(member, i.Location.Line(), i.Location.Column(), "%s", i.Message))
	}
	return errors.Join(errs...)
}

// A provider says which members auth, old and new have.
type provider struct {
	types.Provider
	kinds map[string]kind
}

// FindStructType implements [types.Provider].
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if name == authType || name == entityType {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames implements [types.Provider].
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if name == authType || name == entityType {
		return nil, true // only for completions of editors
	}
	return p.Provider.FindStructFieldNames(name)
}

// FindStructFieldType implements [types.Provider].
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	switch name {
	case authType:
		t, ok := authMembers[field]
		return t, ok
	case entityType:
		k, ok := p.kinds[field]
		if !ok {
			return nil, false
		}
		return &types.FieldType{
			Type:    celTypes[k],
			IsSet:   func(target any) bool { return target.(*entity).has(field) },
			GetFrom: func(target any) (any, error) { return target.(*entity).get(field, k) },
		}, true
	}
	return p.Provider.FindStructFieldType(name, field)
}
