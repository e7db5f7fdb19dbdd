package settings

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// VersionFlag shows the version and ends the program.
type VersionFlag bool

// apply does the work of kong's own Parse in the steps that package kong exports, without two of its
// features: hooks, and commands that kong runs. For these, kong looks up methods by names that the
// linker can't know. The linker then keeps all exported methods of all types, which is a fifth of each
// program. The check of a release limits the size, so it finds a call that links them again.
//
// Of kong's tags, apply supports neither "and" nor "lastwins".
func (p Program) apply(parser *kong.Kong, args []string) (*kong.Context, error) {
	ctx, err := kong.Trace(parser, args)
	if err == nil {
		err = ctx.Error
	}
	if err != nil {
		return ctx, err
	}
	for _, path := range ctx.Path {
		if path.Flag == nil {
			continue
		}
		if path.Flag == parser.Model.HelpFlag {
			if err := ctx.PrintUsage(false); err != nil {
				return ctx, fmt.Errorf("write the help: %w", err)
			}
			return ctx, ErrHelp
		}
		if _, ok := path.Flag.Target.Interface().(VersionFlag); ok {
			if _, err := fmt.Fprintln(parser.Stdout, p.Name, p.Version); err != nil {
				return ctx, fmt.Errorf("write the version: %w", err)
			}
			return ctx, ErrHelp
		}
	}
	if err := ctx.Reset(); err != nil {
		return ctx, err
	}
	if _, err := ctx.Apply(); err != nil {
		return ctx, err
	}
	return ctx, check(ctx)
}

// check checks the values in the grammar. [explained] has checked each value of a flag on its own.
func check(ctx *kong.Context) error {
	for _, path := range ctx.Path {
		var err error
		switch {
		case path.App != nil:
			err = checkSettings(path.App.Target)
		case path.Command != nil:
			err = checkSettings(path.Command.Target)
		}
		if err != nil {
			return err
		}
	}
	for _, path := range ctx.Path {
		if err := checkArgument(path.Positional); err != nil {
			return err
		}
		if err := checkRequired(path.Flags); err != nil {
			return err
		}
	}
	selected := ctx.Selected()
	if selected == nil {
		selected = ctx.Model.Node
	}
	if err := checkComplete(selected); err != nil {
		return err
	}
	for _, path := range ctx.Path {
		if err := checkExclusive(path.Flags); err != nil {
			return err
		}
	}
	return nil
}

// checkSettings calls the CheckSettings methods of a struct and of the structs embedded in it. The name
// is not Validate as for kong: the linker would then keep a method of kong that has this name, and with
// it all others.
func checkSettings(v reflect.Value) error {
	if v.Kind() != reflect.Struct {
		return nil
	}
	if checked, ok := v.Addr().Interface().(interface{ CheckSettings() error }); ok {
		if err := checked.CheckSettings(); err != nil {
			return err
		}
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if _, embedded := field.Tag.Lookup("embed"); field.IsExported() && (embedded || field.Anonymous) {
			if err := checkSettings(v.Field(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkArgument checks the value of an argument, or of none.
func checkArgument(v *kong.Positional) error {
	if v == nil || v.Enum == "" || v.EnumMap()[v.Target.String()] {
		return nil
	}
	var allowed []string
	for _, word := range v.EnumSlice() {
		allowed = append(allowed, strconv.Quote(word))
	}
	return fmt.Errorf("%s must be one of %s but got %q", v.ShortSummary(), strings.Join(allowed, ","), v.Target.String())
}

// checkRequired returns an error that lists the required flags that are missing. Of flags with a
// common xor tag, one is enough.
func checkRequired(flags []*kong.Flag) error {
	chosen := map[string]bool{}
	for _, f := range flags {
		for _, group := range f.Xor {
			chosen[group] = chosen[group] || f.Set
		}
	}
	var missing []string
	choices := map[string][]string{}
	for _, f := range flags {
		if !f.Required || f.Set {
			continue
		}
		if len(f.Xor) == 0 {
			missing = append(missing, f.Summary())
		}
		for _, group := range f.Xor {
			if !chosen[group] {
				choices[group] = append(choices[group], f.Summary())
			}
		}
	}
	for _, names := range choices {
		missing = append(missing, strings.Join(names, " or "))
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("missing flags: %s", strings.Join(missing, ", "))
}

// checkComplete returns an error if an argument or a subcommand is missing.
func checkComplete(node *kong.Node) error {
	var arguments, commands []string
	for _, a := range node.Positional {
		if a.Required && !a.Set {
			arguments = append(arguments, a.Summary())
		}
	}
	if len(arguments) > 0 {
		return fmt.Errorf("the argument %s is required", strings.Join(arguments, " "))
	}
	for _, child := range node.Children {
		if !child.Hidden {
			commands = append(commands, strconv.Quote(child.Name))
		}
	}
	switch {
	case len(commands) == 0:
		return nil
	case len(commands) == 1:
		return errors.New("expected " + commands[0])
	case len(commands) > 5:
		commands = append(commands[:5], "...")
	}
	return errors.New("expected one of " + strings.Join(commands, ", "))
}

// checkExclusive returns an error if two flags with a common xor tag are set.
func checkExclusive(flags []*kong.Flag) error {
	set := map[string]string{}
	for _, f := range flags {
		if !f.Set {
			continue
		}
		for _, group := range f.Xor {
			if other, ok := set[group]; ok {
				return fmt.Errorf("--%s and --%s can't be used together", other, f.Name)
			}
			set[group] = f.Name
		}
	}
	return nil
}
