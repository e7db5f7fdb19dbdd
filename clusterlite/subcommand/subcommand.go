// Package subcommand holds what the subcommands of clusterlite share: their streams, the
// format of their results, how they open the log, and flags that name a point in the log.
// Every package that implements subcommands imports it, and so does cli, which lists them.
//
// A subcommand is a struct in a file of its own and one line of the grammar in package cli.
// It follows these rules:
//
//   - It embeds [Output], has an example in its Help, and has
//     Run(ctx context.Context, out Streams) error.
//   - It writes its result, and nothing else, to out.Stdout with Print. Progress and warnings
//     go to out.Stderr.
//   - It returns nil on success, process.ErrReported if the result reports a problem, a
//     *settings.UsageError if it was called incorrectly, and otherwise what failed. Soon after
//     ctx ends it returns ctx's error. Whatever it returns, it leaves no partial change.
package subcommand

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

// Streams are the input and outputs of a subcommand.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// A Command is a subcommand with its settings.
type Command interface {
	// Run runs until it is done or ctx ends.
	Run(ctx context.Context, out Streams) error
}

// Output is the flag for the format of the result. Subcommands embed it.
type Output struct {
	Output string `name:"output" enum:"text,json" default:"text" help:"Output format: text for people, json for programs (default ${default})."`
}

// A Result is the result of a subcommand. Its fields are the members of its JSON.
type Result interface {
	// Text writes the result as text. The error is that of the writer.
	Text(w io.Writer) error
}

// Print writes the result to out.Stdout.
func (o Output) Print(out Streams, r Result) error {
	write := r.Text
	if o.Output == "json" {
		e := json.NewEncoder(out.Stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		write = func(io.Writer) error { return e.Encode(r) }
	}
	if err := write(out.Stdout); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
