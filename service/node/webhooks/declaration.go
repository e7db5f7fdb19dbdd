package webhooks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/journal"
)

// A Webhook is a subscription as the file declares it.
type Webhook struct {
	// Name identifies the webhook in the log. A webhook with another name is another one.
	Name string `json:"name"`
	URL  string `json:"url"`
	// Collections are the collections whose events are sent, and Types the types of events; none
	// means all types.
	Collections []string      `json:"collections"`
	Types       []events.Kind `json:"types"`
	// Filter is a query string with the filters of the lists of its only collection.
	Filter string `json:"filter"`
	// SecretFile has secrets, separated by space. A relative path is one from the folder of the
	// file. SecretEnv is a variable with secrets, in the same form. One of them is set.
	SecretFile string `json:"secret_file"`
	SecretEnv  string `json:"secret_env"`
	// From says where a new webhook starts: now, which is the default, or beginning.
	From string `json:"from"`
	// Concurrency is the maximum number of requests at a time, of different entities.
	Concurrency int `json:"concurrency"`
	// Timeout is that of one request. RetryFor is how long a failed event is retried before it is
	// parked.
	Timeout  Duration `json:"timeout"`
	RetryFor Duration `json:"retry_for"`
	// Plaintext allows a URL without TLS.
	Plaintext bool `json:"plaintext"`

	signers   []signer
	condition Condition
}

// A Condition reports whether an event matches a filter. The error is one of the journal.
type Condition func(*journal.Entry) (bool, error)

// A Duration is text such as 10s in JSON.
type Duration time.Duration

// UnmarshalJSON parses the text.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errors.New("a duration must be a string such as 10s or 72h")
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 10s or 72h", text)
	}
	*d = Duration(parsed)
	return nil
}

// The limits and defaults of declarations.
const (
	defaultTimeout  = 10 * time.Second
	maxTimeout      = 15 * time.Second // see Timing.Fence
	defaultRetryFor = 72 * time.Hour
	maxRetryFor     = 30 * 24 * time.Hour
	defaultParallel = 4
	maxParallel     = 64
)

var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

var types = []events.Kind{events.Created, events.Updated, events.Deleted, events.Restored}

// A Vocabulary knows the collections that webhooks may name.
type Vocabulary interface {
	// Declared reports whether a collection is declared.
	Declared(collection string) bool
	// Condition parses the filters of the lists of a collection.
	Condition(collection string, filters url.Values) (Condition, error)
}

// A DeclarationError is a mistake in the file with webhooks.
type DeclarationError struct {
	// Path is the file, and Place the webhook and its member; it is empty if the mistake is in none.
	Path, Place string
	Err         error
}

// Error names the file and the place.
func (e *DeclarationError) Error() string {
	if e.Place == "" {
		return fmt.Sprintf("%s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Path, e.Place, e.Err)
}

// Unwrap returns the mistake.
func (e *DeclarationError) Unwrap() error { return e.Err }

// Load reads the webhooks of a file and their secrets. The error is a [DeclarationError], or says that
// the file can't be read.
func Load(path string, words Vocabulary, getenv func(string) string) ([]*Webhook, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file struct {
		Webhooks []json.RawMessage `json:"webhooks"`
	}
	if err := strict(content, &file); err != nil {
		return nil, &DeclarationError{path, place(content, err), err}
	}
	if file.Webhooks == nil {
		return nil, &DeclarationError{path, "", errors.New("the object needs the member webhooks, an array")}
	}
	var all []*Webhook
	for i, raw := range file.Webhooks {
		w := &Webhook{From: "now", Concurrency: defaultParallel, Timeout: Duration(defaultTimeout), RetryFor: Duration(defaultRetryFor)}
		at := fmt.Sprintf("webhooks[%d]", i)
		if err := strict(raw, w); err != nil {
			return nil, &DeclarationError{path, at, err}
		}
		if w.Name != "" {
			at += " (" + w.Name + ")"
		}
		if slices.ContainsFunc(all, func(other *Webhook) bool { return other.Name == w.Name }) {
			return nil, &DeclarationError{path, at, errors.New("another webhook has the same name")}
		}
		if member, err := w.check(filepath.Dir(path), words, getenv); err != nil {
			return nil, &DeclarationError{path, at + ": " + member, err}
		}
		all = append(all, w)
	}
	return all, nil
}

// strict decodes one JSON value without unknown members.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("there is something after the JSON value")
	}
	return nil
}

// place returns the line of a syntax error.
func place(content []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return ""
	}
	return fmt.Sprintf("line %d", 1+bytes.Count(content[:min(syntax.Offset, int64(len(content)))], []byte("\n")))
}

// check validates the webhook and prepares its filter and its secrets. It returns the member that
// has a mistake.
func (w *Webhook) check(dir string, words Vocabulary, getenv func(string) string) (member string, err error) {
	if !validName.MatchString(w.Name) {
		return "name", fmt.Errorf("%q is not a name; allowed: 1 to 63 lower-case letters, digits, dashes and underscores", w.Name)
	}
	if err := w.checkURL(); err != nil {
		return "url", err
	}
	if len(w.Collections) == 0 {
		return "collections", errors.New("it must name at least one collection")
	}
	for _, name := range w.Collections {
		if !words.Declared(name) {
			return "collections", fmt.Errorf("no collection has the name %q", name)
		}
	}
	for _, kind := range w.Types {
		if !slices.Contains(types, kind) {
			return "types", fmt.Errorf("%q is not a type; allowed: created, updated, deleted, restored", kind)
		}
	}
	if err := w.checkFilter(words); err != nil {
		return "filter", err
	}
	if w.From != "now" && w.From != "beginning" {
		return "from", fmt.Errorf("%q is not a start; allowed: now, beginning", w.From)
	}
	if w.Concurrency < 1 || w.Concurrency > maxParallel {
		return "concurrency", fmt.Errorf("%d is not allowed; allowed: 1 to %d", w.Concurrency, maxParallel)
	}
	if d := time.Duration(w.Timeout); d < 100*time.Millisecond || d > maxTimeout {
		return "timeout", fmt.Errorf("%s is not allowed; allowed: 100ms to %s", d, maxTimeout)
	}
	if d := time.Duration(w.RetryFor); d < 0 || d > maxRetryFor {
		return "retry_for", fmt.Errorf("%s is not allowed; allowed: 0s to %s", d, maxRetryFor)
	}
	return w.readSecrets(dir, getenv)
}

func (w *Webhook) checkURL() error {
	u, err := url.Parse(w.URL)
	switch {
	case err != nil:
		return errors.New("it is not a URL") // the error would repeat it, and it may hold a secret
	case u.Scheme == "http" && !w.Plaintext:
		return errors.New("http:// sends the events unencrypted; use https://, or set plaintext to true")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Hostname() == "" || u.Fragment != "":
		return errors.New("it must begin with https://, and name a host")
	case u.User != nil:
		return errors.New("it must hold no user and no password; the signature authenticates the sender")
	}
	return nil
}

func (w *Webhook) checkFilter(words Vocabulary) error {
	if w.Filter == "" {
		return nil
	}
	if len(w.Collections) > 1 {
		return errors.New("a filter needs exactly one collection, because its members are those of a collection")
	}
	values, err := url.ParseQuery(w.Filter)
	if err != nil {
		return err
	}
	for name, given := range values {
		if len(given) > 1 {
			return fmt.Errorf("it has %s more than once", name)
		}
	}
	w.condition, err = words.Condition(w.Collections[0], values)
	return err
}

// endpoint is the URL without its path and query, which may hold secrets.
func (w *Webhook) endpoint() string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return ""
	}
	host := u.Host
	if name, port, err := net.SplitHostPort(host); err == nil && port == "" {
		host = name
	}
	return u.Scheme + "://" + strings.ToLower(host)
}

// wants reports whether an event is sent to the webhook.
func (w *Webhook) wants(e *journal.Entry) (bool, error) {
	if !slices.Contains(w.Collections, e.Event.Collection) || len(w.Types) > 0 && !slices.Contains(w.Types, e.Event.Kind) {
		return false, nil
	}
	if w.condition == nil {
		return true, nil
	}
	return w.condition(e)
}
