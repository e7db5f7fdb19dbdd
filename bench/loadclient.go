package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// loadClient returns a client that keeps all connections that it opens.
func loadClient() *http.Client {
	return &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 1024, DisableCompression: true},
	}
}

// An answer is the part of a response that a load needs.
type answer struct {
	code     int
	location string
}

// quickly sends a request with a JSON body, or without one. Reads are eventual.
func quickly(ctx context.Context, client *http.Client, method, url, body string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if method == http.MethodGet {
		r.Header["Clusterlite-Consistency"] = []string{"eventual"}
	}
	if body != "" {
		r.Header["Content-Type"] = []string{"application/json"}
	}
	response, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return answer{response.StatusCode, response.Header.Get("Location")}, err
}
