package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/operator/progress"
	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Command is clusterlite import.
type Command struct {
	subcommand.Output `embed:""`

	File       string        `arg:"" help:"A file with one JSON object per line; - is the standard input."`
	Collection string        `name:"collection" required:"" placeholder:"NAME" help:"The collection of the entities."`
	URL        string        `name:"url" env:"CLUSTERLITE_URL" default:"http://localhost:8080" placeholder:"URL" help:"URL of the API (default ${default})."`
	Errors     string        `name:"errors" placeholder:"FILE" help:"File for failed lines, reported as lines of JSON. Default: report them as text on the standard error output."`
	Key        string        `name:"key" placeholder:"TEXT" help:"A name for the import. For a day, the same lines are created only once under the same name, but again under a different one. Default: none."`
	Checkpoint string        `name:"checkpoint" placeholder:"FILE" help:"File that keeps the progress of the import until it is done. Default: the name of the imported file with .import appended; none for a pipe."`
	Token      string        `name:"token" env:"CLUSTERLITE_TOKEN" placeholder:"SECRET" help:"Bearer token for an API that requires one. Prefer the file: other users of the machine can see flags."`
	TokenFile  string        `name:"token-file" env:"CLUSTERLITE_TOKEN_FILE" placeholder:"FILE" help:"File with that token. A replaced file takes effect within a second, so replace it before the token expires."`
	RetryFor   time.Duration `name:"retry-for" default:"1m" placeholder:"DURATION" help:"How long to retry before giving up, e.g. 1m (default ${default})."`
}

// Help is the rest of --help.
func (Command) Help() string {
	return `Creates an entity from each line. A line that is rejected is reported by its number and does not affect the others. After a broken connection, an outage or a crash, run the same command again: it continues where it stopped and creates nothing twice.

Exit status: 0 if every line became an entity, 1 if any did not, 2 for a wrong flag or argument.

Examples:

	clusterlite import users.ndjson --collection users --url http://localhost:8080
	zcat orders.ndjson.gz | clusterlite import - --collection orders --errors failed.ndjson
`
}

// CheckSettings is called by the parser.
func (i *Command) CheckSettings() error {
	u, err := url.Parse(i.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" {
		return fmt.Errorf("--url (CLUSTERLITE_URL) is %q; allowed: a URL such as http://localhost:8080", i.URL)
	}
	if !events.ValidCollection(i.Collection) {
		return fmt.Errorf("--collection is %q; allowed: the name of a collection, such as users", i.Collection)
	}
	if i.Token != "" && i.TokenFile != "" {
		return errors.New("set either --token-file (CLUSTERLITE_TOKEN_FILE) or CLUSTERLITE_TOKEN, not both")
	}
	if i.RetryFor < 0 {
		return fmt.Errorf("--retry-for is %s; allowed: a duration of at least 0", i.RetryFor)
	}
	return nil
}

// linesResult is the result that the command prints at the end.
type linesResult struct {
	Collection string `json:"collection"`
	Lines      int64  `json:"lines"`
	Created    int64  `json:"created"`
	Failed     int64  `json:"failed"`
}

func (r linesResult) Text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s: %d lines, %d created, %d failed\n", r.Collection, r.Lines, r.Created, r.Failed)
	return err
}

// token returns a function that gives the current token. It is nil if no token is set. The error says
// that the token file cannot be used.
func (i Command) token(stderr io.Writer) (func() string, error) {
	const setting = "--token-file (CLUSTERLITE_TOKEN_FILE)"
	report := func(err error) { fmt.Fprintf(stderr, "import: %s: %v\n", setting, err) }
	token, err := settings.OpenToken(i.Token, i.TokenFile, func(token string) error {
		if token == "" {
			return fmt.Errorf("%s is empty", i.TokenFile)
		}
		return nil
	}, report)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	return token, nil
}

func (i Command) Run(ctx context.Context, out subcommand.Streams) error {
	token, err := i.token(out.Stderr)
	if err != nil {
		return err
	}
	input, size, err := i.open(out.Stdin)
	if err != nil {
		return err
	}
	if i.Checkpoint == "" && size > 0 {
		i.Checkpoint = i.File + ".import"
	}
	defer func() { _ = input.Close() }() // it was only read
	task := progress.Start(out.Stderr, "import", size, progress.Bytes)
	defer task.Done()
	report, sync, closeErrors, err := i.failures(task)
	if err != nil {
		return err
	}
	summary, err := Run(ctx, input, Options{
		URL: strings.TrimRight(i.URL, "/"), Collection: i.Collection, Key: i.Key, Checkpoint: i.Checkpoint, Patience: i.RetryFor, Token: token,
		Failed: report, Sync: sync, Resumed: task.Resume, Progress: task.Set,
	})
	task.Done()
	if closed := closeErrors(); err == nil {
		err = closed
	}
	if err != nil && summary.Lines == 0 {
		return err
	}
	if err != nil {
		return fmt.Errorf("stopped after %d lines (%d created, %d failed); run the same command again to continue from there: %w", summary.Lines, summary.Created, summary.Failed, err)
	}
	if err := i.Print(out, linesResult{i.Collection, summary.Lines, summary.Created, summary.Failed}); err != nil {
		return err
	}
	if summary.Failed > 0 {
		return process.ErrReported
	}
	return nil
}

// open opens the input. Its size is zero if it is unknown, such as for a pipe.
func (i Command) open(stdin io.Reader) (input io.ReadCloser, size int64, err error) {
	if i.File == "-" {
		return io.NopCloser(stdin), 0, nil
	}
	f, err := os.Open(i.File)
	if err != nil {
		return nil, 0, err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

// failures returns a function that reports a failed line to the named file or, without one,
// next to the progress. sync makes the written reports durable.
func (i Command) failures(beside io.Writer) (report func(Failure) error, sync, done func() error, err error) {
	if i.Errors == "" {
		report = func(f Failure) error {
			_, err := fmt.Fprintln(beside, f)
			return err
		}
		return report, nil, func() error { return nil }, nil
	}
	// Append to the file, because an earlier run may have reported other lines.
	file, err := os.OpenFile(i.Errors, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return nil, nil, nil, err
	}
	lines := json.NewEncoder(file)
	lines.SetEscapeHTML(false)
	sync = file.Sync
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		sync = nil // a pipe or a device can't be synced
	}
	return func(f Failure) error { return lines.Encode(f) }, sync, file.Close, nil
}
