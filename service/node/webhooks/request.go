package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// contentType is the media type of an event.
const contentType = "application/cloudevents+json"

// An outcome is what became of one request.
type outcome struct {
	delivered bool
	// gone reports that the endpoint wants no more requests.
	gone bool
	// problem says what went wrong. It holds no part of the URL or of an answer.
	problem string
	// after is how long the endpoint asks to wait.
	after time.Duration
}

// maxAfter bounds the pause that an endpoint may ask for, and maxAnswer what is read of an answer.
const (
	maxAfter  = time.Hour
	maxAnswer = 64 << 10
)

// newClient returns the client for one webhook. It follows no redirects: a redirect would let the
// endpoint choose where events go.
func newClient(w *Webhook) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: w.Concurrency, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// send sends one event.
func (w *Webhook) send(ctx context.Context, client *http.Client, id, agent string, body []byte) outcome {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(w.Timeout))
	defer cancel()
	now := time.Now()
	signature, err := w.sign(id, now, body)
	if err != nil {
		return outcome{problem: "the request can't be signed"}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return outcome{problem: "the URL can't be used"}
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("User-Agent", agent)
	r.Header.Set(standard.HeaderWebhookID, id)
	r.Header.Set(standard.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	r.Header.Set(standard.HeaderWebhookSignature, signature)
	response, err := client.Do(r)
	if err != nil {
		return outcome{problem: failure(err, time.Duration(w.Timeout))}
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // so that the connection can be used again
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return outcome{delivered: true}
	case status == http.StatusGone:
		return outcome{gone: true, problem: "the endpoint answered 410 Gone"}
	case status >= 300 && status < 400:
		return outcome{problem: fmt.Sprintf("the endpoint answered %d, and redirects are not followed", status)}
	default:
		return outcome{problem: fmt.Sprintf("the endpoint answered %d", status), after: retryAfter(response.Header.Get("Retry-After"), now)}
	}
}

// failure describes why there is no answer, without the URL.
func failure(err error, timeout time.Duration) string {
	var of *url.Error
	if errors.As(err, &of) {
		if of.Timeout() {
			return fmt.Sprintf("the endpoint did not answer within %s", timeout)
		}
		err = of.Err
	}
	return "the endpoint can't be reached: " + err.Error()
}

// retryAfter reads the header field Retry-After.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, min(at.Sub(now), maxAfter))
	}
	return 0
}
