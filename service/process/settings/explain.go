package settings

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// An allower is a type of setting that describes its allowed values.
type allower interface{ Allowed() string }

// explained reads the value of a flag from the command line or a variable. Errors have the
// same form for all settings: the names, the value, and what is allowed.
type explained struct {
	kong.Mapper
	flag *kong.Flag
	// refused stores the last error, because kong does not preserve its type.
	refused *error
}

// explain wraps all flags of a command line in explained. It returns a pointer to the last
// error.
func explain(root *kong.Node) *error {
	refused := new(error)
	eachFlag(root, func(f *kong.Flag) {
		if !f.IsBool() {
			f.Mapper = explained{f.Mapper, f, refused}
		}
	})
	return refused
}

func eachFlag(n *kong.Node, do func(*kong.Flag)) {
	for _, f := range n.Flags {
		do(f)
	}
	for _, child := range n.Children {
		eachFlag(child, do)
	}
}

// Decode implements kong.Mapper.
func (e explained) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token := ctx.Scan.Peek()
	if !token.IsValue() {
		*e.refused = fmt.Errorf("%s needs a value: --%s=%s", e.names(), e.flag.Name, e.example())
		return *e.refused
	}
	err := e.Mapper.Decode(ctx, target)
	if err == nil {
		err = e.checkEnum(target)
	}
	if err == nil {
		return nil
	}
	*e.refused = fmt.Errorf("%s is %q; allowed: %s", e.names(), token.String(), e.allowed(target, err))
	return *e.refused
}

// example returns the text that stands for a value in --help.
func (e explained) example() string {
	if e.flag.PlaceHolder != "" {
		return e.flag.PlaceHolder
	}
	return strings.Trim(e.flag.FormatPlaceHolder(), `"`)
}

// names returns the names of the flag and of its variables.
func (e explained) names() string {
	names := "--" + e.flag.Name
	if len(e.flag.Envs) > 0 {
		names += " (" + strings.Join(e.flag.Envs, ", ") + ")"
	}
	return names
}

// checkEnum replaces kong's own check, whose error does not name the variable.
func (e explained) checkEnum(target reflect.Value) error {
	if e.flag.Enum == "" || target.Kind() != reflect.String {
		return nil
	}
	if text := target.String(); !e.flag.EnumMap()[text] {
		return fmt.Errorf("%q is not an allowed value", text)
	}
	return nil
}

// allowed describes the allowed values; for types unknown here it returns the text of the
// error.
func (e explained) allowed(target reflect.Value, wrong error) string {
	if e.flag.Enum != "" {
		return oneOf(e.flag.EnumSlice())
	}
	if target.CanAddr() {
		if a, ok := target.Addr().Interface().(allower); ok {
			return a.Allowed()
		}
	}
	switch target.Interface().(type) {
	case time.Duration:
		return "a duration such as 500ms, 2s or 1m"
	}
	switch target.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number such as 100"
	}
	return wrong.Error()
}

// oneOf lists words: a, b or c.
func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
