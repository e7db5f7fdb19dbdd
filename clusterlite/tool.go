package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// Every subcommand of the operator's tool is a struct in a file of its own and one line of
// grammar, and follows these rules:
//
//   - It embeds output, gives an example in Help, and has
//     Run(ctx context.Context, out streams) error.
//   - Its result goes to out.stdout by print, and nothing else does; progress and warnings
//     go to out.stderr.
//   - It returns nil if all is well; process.ErrReported if its result has said what is
//     wrong; a *settings.UsageError if it was called wrongly; else what failed. It returns
//     soon after ctx ends, with ctx's error, and leaves everything as it was or whole.

// streams are what a subcommand reads and writes.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// output is how a subcommand writes its result.
type output struct {
	Output string `name:"output" enum:"text,json" default:"text" help:"Output format: text for people, json for programs (default ${default})."`
}

// A result is what a subcommand found or did. Its JSON has its fields.
type result interface {
	// Text writes it as text. The error is that of the writer.
	Text(w io.Writer) error
}

// print writes the result to the standard output.
func (o output) print(out streams, r result) error {
	write := r.Text
	if o.Output == "json" {
		e := json.NewEncoder(out.stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		write = func(io.Writer) error { return e.Encode(r) }
	}
	if err := write(out.stdout); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
