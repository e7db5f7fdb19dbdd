package settings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// A Program is a command line.
type Program struct {
	// Name and Help are what --help says first.
	Name, Help string
	// Serves says what a service serves, for example reads.
	Serves string
	// HTTPAddr and AdminAddr are the defaults of its listeners.
	HTTPAddr, AdminAddr string
	// Version is what --version prints.
	Version string
}

// ErrHelp is returned after the requested help, version or completions were printed.
var ErrHelp = errors.New("help was shown")

// UsageError is returned for an invalid command line or environment.
type UsageError struct{ Err error }

// Error says what is invalid.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// Parse reads flags and environment into the grammar, a pointer to a struct in kong's
// terms, and returns the chosen command. The errors are [ErrHelp] and [UsageError].
// Warnings about variables that no setting reads go to stderr.
func (p Program) Parse(grammar any, args []string, stdout, stderr io.Writer) (*kong.Context, error) {
	parser, err := kong.New(grammar,
		kong.Name(p.Name), kong.Description(p.Help),
		kong.Vars{"http_addr": p.HTTPAddr, "admin_addr": p.AdminAddr, "serves": p.Serves},
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return nil, fmt.Errorf("the command line of %s: %w", p.Name, err)
	}
	if line, asked := lineToComplete(); asked {
		for _, word := range completions(parser.Model.Node, line) {
			if _, err := fmt.Fprintln(stdout, word); err != nil {
				return nil, fmt.Errorf("write the completions: %w", err)
			}
		}
		return nil, ErrHelp
	}
	refused := explain(parser.Model.Node)
	ctx, err := p.apply(parser, args)
	if errors.Is(err, ErrHelp) {
		return nil, ErrHelp
	}
	if err != nil {
		return nil, p.usage(ctx, args, *refused, err, stderr)
	}
	for _, name := range unknownVariables(parser, os.Environ()) {
		_, _ = fmt.Fprintf(stderr, "%s: warning: %s is not a setting and is ignored\n", p.Name, name)
	}
	return ctx, nil
}

// unknownVariables finds variables that look like a setting but are not one. Otherwise a
// misspelt name would silently leave the default in place.
func unknownVariables(parser *kong.Kong, environment []string) []string {
	known := map[string]bool{}
	eachFlag(parser.Model.Node, func(f *kong.Flag) {
		for _, e := range f.Envs {
			known[e] = true
		}
	})
	var unknown []string
	for _, e := range environment {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "CLUSTERLITE_") && !known[name] && !ofOthers(name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// ofOthers recognises variables that other processes or the Compose file read. They often
// share one environment.
func ofOthers(name string) bool {
	if slices.Contains([]string{
		"CLUSTERLITE_PORT", "CLUSTERLITE_IMAGE_PREFIX", "CLUSTERLITE_VERSION",
		"CLUSTERLITE_SNAPSHOT_SCHEDULE", "CLUSTERLITE_SNAPSHOT_KEEP", "CLUSTERLITE_SNAPSHOT_KEEP_FOR", // of the Compose file
		"CLUSTERLITE_URL", "CLUSTERLITE_TOKEN", "CLUSTERLITE_TOKEN_FILE", "CLUSTERLITE_ADMIN", "CLUSTERLITE_KAFKA_LISTEN",
	}, name) {
		return true
	}
	for _, group := range []any{Node{}, Topic{}, Kafka{}, KafkaSecurity{}, APITLS{}, AdminTLS{}, AdminAccess{}, Auth{}, RateLimits{}, HTTP{}, Reads{}, Writes{}} {
		t := reflect.TypeOf(group)
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("env") == name {
				return true
			}
		}
	}
	return false
}
