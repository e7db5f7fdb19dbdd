package clients_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/thirdparty"
)

// The conformance suite of the Durable Streams protocol finds no fault in the reads of the feed.
func TestClientConformanceSuite(t *testing.T) {
	serve(t)
	dir, bin := node(t)
	p := cluster.ServeWith(t, map[string]string{"CLUSTERLITE_COLLECTIONS": filepath.Join(dir, "streams")})
	p.Start()
	p.AwaitReady()
	adapter := httptest.NewServer(&streams{store: p.URL, types: map[string]string{}})
	defer adapter.Close()
	t.Setenv("STREAMS", adapter.URL)
	thirdparty.Run(t, dir, filepath.Join(bin, "vitest"), "run", "--testTimeout=60000", "conformance.test.mjs")
}

// The type streams is an adapter between the conformance suite and a store. The suite creates its
// streams by PUT and POST, which the store does not have. The adapter turns each message into an
// entity of the collection "messages", and a stream is the feed of the messages with its name. Reads
// go to the store unchanged, and their status, header and offsets are those of the store. In the body
// the adapter replaces each change by its message.
type streams struct {
	store string

	mu    sync.Mutex
	types map[string]string // stream → content type
}

const nextOffset = "Stream-Next-Offset"

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/v1/stream/")
	s.mu.Lock()
	contentType, exists := s.types[name]
	if r.Method == http.MethodPut && !exists {
		if contentType = r.Header.Get("Content-Type"); contentType == "" {
			contentType = "application/octet-stream"
		}
		s.types[name] = contentType
	}
	s.mu.Unlock()
	var err error
	switch {
	case r.Method == http.MethodPut && exists:
		w.WriteHeader(http.StatusOK)
	case r.Method == http.MethodPut:
		err = s.write(w, r, name, contentType, http.StatusCreated)
	case r.Method == http.MethodPost && exists:
		err = s.write(w, r, name, contentType, http.StatusNoContent)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case !exists:
		err = s.read(w, r, "/"+url.PathEscape(name)+"/changes", contentType)
	default:
		err = s.read(w, r, "/messages/changes", contentType, "stream", name)
	}
	if err != nil && r.Context().Err() == nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func isJSON(contentType string) bool {
	return strings.HasPrefix(strings.ToLower(contentType), "application/json")
}

// write stores the messages of a body, each as an entity.
func (s *streams) write(w http.ResponseWriter, r *http.Request, stream, contentType string, status int) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	var messages []json.RawMessage
	switch {
	case len(body) == 0:
	case !isJSON(contentType):
		messages = []json.RawMessage{json.RawMessage(`"` + base64.StdEncoding.EncodeToString(body) + `"`)}
	case bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")):
		if err := json.Unmarshal(body, &messages); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return nil
		}
	default:
		messages = []json.RawMessage{body}
	}
	var position string
	for _, m := range messages {
		name, err := json.Marshal(stream)
		if err != nil {
			return err
		}
		document := fmt.Sprintf(`{"stream":%s,"body":%s}`, name, m)
		response, err := http.Post(s.store+"/messages", "application/json", strings.NewReader(document))
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusCreated {
			w.WriteHeader(response.StatusCode)
			return nil
		}
		position = response.Header.Get("Clusterlite-Position")
	}
	if position == "" { // nothing was written
		response, err := http.Head(s.store + "/messages/changes")
		if err != nil {
			return err
		}
		_ = response.Body.Close()
		position = response.Header.Get(nextOffset)
	}
	w.Header().Set(nextOffset, fmt.Sprintf("%016s", position))
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	return nil
}

// read passes a read on to a feed, with parameters in addition to the client's.
func (s *streams) read(w http.ResponseWriter, r *http.Request, path, contentType string, parameters ...string) error {
	query := r.URL.RawQuery
	for i := 0; i < len(parameters); i += 2 {
		query += "&" + parameters[i] + "=" + url.QueryEscape(parameters[i+1])
	}
	request, err := http.NewRequestWithContext(r.Context(), r.Method, s.store+path+"?"+strings.TrimPrefix(query, "&"), http.NoBody)
	if err != nil {
		return err
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding") // so that the client decodes what it reads
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	for name, values := range response.Header {
		w.Header()[name] = values
	}
	if response.Header.Get("Content-Type") == "text/event-stream" {
		w.WriteHeader(response.StatusCode)
		return pass(w, response.Body, contentType)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode < 300 {
		w.Header().Set("Content-Type", contentType)
		w.Header().Del("Content-Length")
		if len(body) > 0 {
			if body, err = unwrap(body, contentType); err != nil {
				return err
			}
		}
	}
	w.WriteHeader(response.StatusCode)
	_, err = w.Write(body)
	return err
}

// unwrap returns the messages in an array of changes: an array, or bytes one after another.
func unwrap(changes []byte, contentType string) (b []byte, err error) {
	var all []struct {
		Data struct{ Body json.RawMessage }
	}
	if err := json.Unmarshal(changes, &all); err != nil {
		return nil, err
	}
	var bodies [][]byte
	for _, c := range all {
		if !isJSON(contentType) {
			var text []byte // encoding/json decodes base64
			if err := json.Unmarshal(c.Data.Body, &text); err != nil {
				return nil, err
			}
			b = append(b, text...)
		}
		bodies = append(bodies, c.Data.Body)
	}
	if isJSON(contentType) {
		b = append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']')
	}
	return b, nil
}

// pass copies server-sent events, and unwraps those of type "data".
func pass(w http.ResponseWriter, r io.Reader, contentType string) error {
	data := false
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // the store ends each stream after a while, and the client connects again
		}
		if bytes.HasPrefix(line, []byte("event: ")) {
			data = string(line) == "event: data\n"
		}
		if array, ok := bytes.CutPrefix(line, []byte("data:")); ok && data {
			b, err := unwrap(array, contentType)
			if err != nil {
				return err
			}
			line = nil
			for text := range bytes.SplitSeq(b, []byte("\n")) {
				line = append(append(append(line, "data:"...), text...), '\n')
			}
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
		if len(line) == 1 {
			w.(http.Flusher).Flush()
		}
	}
}
