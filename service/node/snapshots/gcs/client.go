package gcs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// scope is what the credentials are used for.
const scope = "https://www.googleapis.com/auth/devstorage.read_write"

// firstPause is the pause before the first retry. Each following one is longer, up to
// maxPause.
var firstPause = 200 * time.Millisecond

const maxPause = 5 * time.Second

// tries is how often a request is sent if the service reports a temporary failure.
const tries = 6

// A client sends requests of the JSON API.
type client struct {
	http     *http.Client
	base     *http.Transport
	endpoint string // a URL without a final slash
	quota    string // the project that is billed, if not the credentials' own
}

// newClient finds the endpoint and the credentials. An emulator gets none.
func newClient(ctx context.Context, query url.Values) (*client, error) {
	anonymous, universe, err := parse(query)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if emulator := os.Getenv("STORAGE_EMULATOR_HOST"); emulator != "" {
		if !strings.Contains(emulator, "://") {
			emulator = "http://" + emulator
		}
		return &client{http: &http.Client{Transport: transport}, base: transport, endpoint: strings.TrimSuffix(emulator, "/")}, nil
	}
	c := &client{http: &http.Client{Transport: transport}, base: transport}
	if !anonymous {
		credentials, err := google.FindDefaultCredentialsWithParams(ctx, google.CredentialsParams{Scopes: []string{scope}, UniverseDomain: universe})
		if err != nil {
			return nil, err
		}
		if universe == "" {
			if universe, err = credentials.GetUniverseDomain(); err != nil {
				return nil, err
			}
		}
		c.http.Transport = &oauth2.Transport{Source: credentials.TokenSource, Base: transport}
		c.quota = quotaProject(credentials)
	}
	c.endpoint = "https://storage." + cmp.Or(universe, "googleapis.com")
	return c, nil
}

func parse(query url.Values) (anonymous bool, universe string, err error) {
	for name, values := range query {
		value := values[0]
		switch name {
		case "universe_domain":
			universe = value
		case "anonymous":
			one, err := strconv.ParseBool(value)
			if err != nil {
				return false, "", fmt.Errorf("the parameter anonymous is %q; it must be true or false", value)
			}
			anonymous = anonymous || one
		case "access_id": // Any other value would only matter for signed URLs.
			anonymous = anonymous || value == "-"
		case "private_key_path": // Only for signed URLs.
		default:
			return false, "", fmt.Errorf("unknown parameter %q; allowed: prefix, anonymous and universe_domain", name)
		}
	}
	return anonymous, universe, nil
}

// quotaProject returns the project that the environment or the credentials' file bills.
func quotaProject(c *google.Credentials) string {
	var file struct {
		QuotaProject string `json:"quota_project_id"`
	}
	_ = json.Unmarshal(c.JSON, &file) // a metadata server has no file
	return cmp.Or(os.Getenv("GOOGLE_CLOUD_QUOTA_PROJECT"), file.QuotaProject)
}

// A statusError is an answer that is not a success. One about a missing object is
// [fs.ErrNotExist].
type statusError struct {
	status  int
	request string
	text    string
}

func (e *statusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%s: %d %s: %s", e.request, e.status, http.StatusText(e.status), e.text))
}

func (e *statusError) Is(target error) bool {
	return target == fs.ErrNotExist && e.status == http.StatusNotFound
}

// temporary reports whether the request may succeed later.
func (e *statusError) temporary() bool {
	return e.status == http.StatusRequestTimeout || e.status == http.StatusTooManyRequests || e.status >= 500
}

func (c *client) get(ctx context.Context, address string) (*http.Response, error) {
	return c.do(ctx, func() (*http.Request, error) { return http.NewRequestWithContext(ctx, http.MethodGet, address, nil) })
}

// do sends a request that may be sent more than once, and retries it after a temporary
// failure. make makes the request of each try.
func (c *client) do(ctx context.Context, make func() (*http.Request, error)) (*http.Response, error) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval = firstPause, maxPause
	return backoff.Retry(ctx, func() (*http.Response, error) {
		request, err := make()
		if err != nil {
			return nil, backoff.Permanent(err)
		}
		response, err := c.send(request)
		if failed, ok := err.(*statusError); ok && !failed.temporary() { //nolint:errorlint // as send returns it
			return nil, backoff.Permanent(err)
		}
		if ctx.Err() != nil && err != nil {
			return nil, backoff.Permanent(err)
		}
		return response, err
	}, backoff.WithBackOff(pauses), backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(0))
}

// send sends a request once. Answers of 400 and more are a [statusError]. The caller closes
// the body.
func (c *client) send(request *http.Request) (*http.Response, error) {
	if c.quota != "" {
		request.Header.Set("X-Goog-User-Project", c.quota)
	}
	response, err := c.http.Do(request)
	if err != nil || response.StatusCode < 400 {
		return response, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	text, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	var described struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(text, &described) // errors of the upload service are plain text
	return nil, &statusError{response.StatusCode, request.Method + " " + request.URL.Path, cmp.Or(described.Error.Message, string(text))}
}
