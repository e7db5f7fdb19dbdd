package importer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpclient"
)

const (
	// firstPause and longestPause bound the pause before a retry of a chunk.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
	// stall is the maximum time that a store may be silent. It is longer than a batch takes,
	// and longer than nginx waits for one.
	stall = 90 * time.Second
)

// A sender sends chunks. Use it from one goroutine.
type sender struct {
	Options
	client *http.Client
}

// limits require the store to send something for each batch.
var limits = httpclient.Limits{Connect: 10 * time.Second, Answer: stall, Stall: stall}

func newClient() *http.Client {
	c := httpclient.NewClient(limits, nil)
	c.CheckRedirect = noRedirects
	return c
}

func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// send sends a chunk until each of its lines has a final result, and returns the failed
// lines.
func (s *sender) send(ctx context.Context, c *chunk) ([]Failure, error) {
	var failures []Failure
	for _, l := range c.long {
		p := problem.BodyTooLarge.New(fmt.Sprintf("The line exceeds the maximum of %d bytes.", maxLine))
		failures = append(failures, Failure{Line: l.number, Status: p.Status, Type: p.Type, Title: p.Title, Detail: p.Detail})
	}
	if len(c.lines) > 0 {
		pauses := backoff.NewExponentialBackOff()
		pauses.InitialInterval, pauses.MaxInterval = firstPause, longestPause
		refused, err := backoff.Retry(ctx, func() ([]Failure, error) { return s.attempt(ctx, c) },
			backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(max(s.Patience, 1))) // zero would mean no limit
		if err != nil {
			return nil, err
		}
		failures = append(failures, refused...)
	}
	slices.SortFunc(failures, func(a, b Failure) int { return int(a.Line - b.Line) })
	return failures, nil
}

// attempt sends a chunk once. The error is permanent if a retry would not help.
func (s *sender) attempt(ctx context.Context, c *chunk) ([]Failure, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/"+s.Collection, bytes.NewReader(c.body))
	if err != nil {
		return nil, backoff.Permanent(err)
	}
	r.Header.Set("Content-Type", contract.NDJSON)
	r.Header.Set("Idempotency-Key", c.key(s.Key, s.Collection))
	if s.Token != nil {
		r.Header.Set("Authorization", "Bearer "+s.Token())
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != contract.NDJSON {
		return nil, errorIn(answer)
	}
	results := json.NewDecoder(answer.Body)
	var failures []Failure
	for i, l := range c.lines {
		var result Failure
		if err := results.Decode(&result); err != nil {
			return nil, fmt.Errorf("the answer was cut off before line %d: %w", l.number, err)
		}
		if result.Line != int64(i+1) {
			return nil, backoff.Permanent(fmt.Errorf("the answer has a result for line %d instead of line %d", result.Line, i+1))
		}
		result.Line = l.number
		switch {
		// 500 means that the store failed on this line alone. A retry would give the same
		// result, and the lines after it do not have to wait.
		case result.Status > http.StatusInternalServerError:
			return nil, errors.New(result.String())
		case result.Status != http.StatusCreated:
			failures = append(failures, result)
		}
		s.Progress(l.end)
	}
	return failures, nil
}

// errorIn returns the error of a response without results.
func errorIn(answer *http.Response) error {
	text := answer.Status
	var p problem.Problem
	if b, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10)); err == nil && json.Unmarshal(b, &p) == nil && p.Title != "" {
		text = fmt.Sprintf("%d %s", answer.StatusCode, p.Error())
	}
	err := fmt.Errorf("the store answered: %s", text)
	switch answer.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if seconds, bad := strconv.Atoi(answer.Header.Get("Retry-After")); bad == nil {
			return &busy{err, backoff.RetryAfter(seconds)}
		}
		return err
	default:
		return backoff.Permanent(err)
	}
}

// A busy store says when to retry.
type busy struct {
	error
	after error
}

// Unwrap returns both errors: one is for people, the other controls the retries.
func (b *busy) Unwrap() []error { return []error{b.error, b.after} }
