package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// NewClient returns a client that never closes an idle connection.
func NewClient() *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 1024, DisableCompression: true},
	}
}

// An Answer is the part of a response that a load needs.
type Answer struct {
	Code     int
	Location string
}

// Do sends a request with a JSON body, or without a body if that is empty. Reads are eventual.
func Do(ctx context.Context, client *http.Client, method, url, body string) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if method == http.MethodGet {
		r.Header["Clusterlite-Consistency"] = []string{"eventual"}
	}
	if body != "" {
		r.Header["Content-Type"] = []string{"application/json"}
	}
	response, err := client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return Answer{response.StatusCode, response.Header.Get("Location")}, err
}

// Send sends one request and reads its answer.
func Send(ctx context.Context, method, url, contentType string, body []byte, header ...string) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// SendJSON sends a request that must succeed, and reads the answer into a value unless
// that is nil.
func SendJSON(ctx context.Context, method, url, contentType string, body []byte, into any, header ...string) error {
	status, answer, err := Send(ctx, method, url, contentType, body, header...)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return fmt.Errorf("%s %s: status %d: %s", method, url, status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
