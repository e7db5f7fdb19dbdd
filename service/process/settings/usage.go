package settings

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/clusterlite/clusterlite/events/nearest"
)

// usage turns an error of kong's into one for people, which says where to find help.
func (p Program) usage(ctx *kong.Context, args []string, failure, found error, stderr io.Writer) error {
	at := ctx.Selected()
	if at == nil {
		at = ctx.Model.Node
	}
	if len(at.Children) > 0 && strings.Join(args, " ") == at.Path() {
		ctx.Stdout = stderr
		if err := ctx.PrintUsage(false); err != nil {
			return fmt.Errorf("write the help: %w", err)
		}
		return &UsageError{fmt.Errorf("\n%s: a command is required", at.FullPath())}
	}
	if failure == nil {
		failure = meant(found, at)
	}
	text := strings.TrimSuffix(failure.Error(), ".")
	if !strings.HasSuffix(text, "?") {
		text += "."
	}
	return &UsageError{fmt.Errorf("%s: %s See %s --help", p.Name, text, at.FullPath())}
}

// unknown matches kong's errors for an unknown flag or argument. We replace kong's
// suggestions, because it considers any two words of two letters similar. The types of
// these errors are not public; TestUnknownFlagsAndCommands detects a change of the wording.
var unknown = regexp.MustCompile(`^(unknown flag|unexpected argument) ("?)([^ ,"]+)"?(, did you mean .*)?$`)

// meant returns kong's error with a suggestion, if a known name is similar.
func meant(found error, at *kong.Node) error {
	parts := unknown.FindStringSubmatch(found.Error())
	if parts == nil {
		return found
	}
	what, name := parts[1], parts[3]
	var known []string
	if what == "unknown flag" {
		for n := at; n != nil; n = n.Parent {
			for _, f := range n.Flags {
				if !f.Hidden {
					known = append(known, "--"+f.Name)
				}
			}
		}
	} else {
		for _, child := range at.Children {
			known = append(known, child.Name)
		}
	}
	text := what + " " + name
	// Dashes do not distinguish names.
	if near, ok := nearest.Name(strings.TrimLeft(name, "-"), trimmed(known)); ok {
		text += fmt.Sprintf(". Did you mean %s?", strings.Repeat("-", len(name)-len(strings.TrimLeft(name, "-")))+near)
	}
	return errors.New(text)
}

func trimmed(names []string) []string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = strings.TrimLeft(name, "-")
	}
	return all
}
