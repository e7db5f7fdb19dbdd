package commands_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/clusterlite/clusterlite/service/servicetest"
)

func compressed(t testing.TB, coding, text string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if coding == "zstd" {
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func (s *server) post(t testing.TB, body string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequest("POST", s.url+"/users", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// A retry in another coding is the same request: only the decoded content counts.
func TestARetryInAnotherCoding(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	const key = "Idempotency-Key: k1"
	first := servicetest.Body(t, s.post(t, user(1), key))
	for _, coding := range []string{"gzip", "zstd"} {
		r := s.post(t, compressed(t, coding, user(1)), key, "Content-Encoding: "+coding)
		if body := servicetest.Body(t, r); r.StatusCode != 201 || body != first {
			t.Errorf("%s: got %d %s, want 201 %s", coding, r.StatusCode, body, first)
		}
	}
	if n := s.count(t); n != 1 {
		t.Errorf("got %d users, want 1", n)
	}
}

// A compressed import returns the results of its lines. If its data is damaged, the lines
// before the damage are done, and a last result says where the import ended and why.
func TestCompressedImports(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	const lines = 2000
	var text strings.Builder
	for i := range lines {
		text.WriteString(user(i))
	}
	done := int64(0)
	for _, coding := range []string{"gzip", "zstd"} {
		body := compressed(t, coding, strings.ReplaceAll(text.String(), "@", "."+coding+"@"))
		for _, c := range []struct {
			name, body, detail string
			whole              bool
		}{
			{"whole", body, "", true},
			{"cut", compressed(t, coding, strings.ReplaceAll(text.String(), "@", "."+coding+"2@"))[:len(body)/2], coding + " data", false},
			{"other data", "nothing", coding + " data", false},
		} {
			r := s.post(t, c.body, "Content-Type: application/x-ndjson", "Content-Encoding: "+coding)
			if r.StatusCode != 200 {
				t.Fatalf("%s, %s: got %d, want 200", coding, c.name, r.StatusCode)
			}
			results, created := json.NewDecoder(r.Body), int64(0)
			last := struct {
				Line   int64
				Status int
				Detail string
			}{}
			for {
				err := results.Decode(&last)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("%s, %s: got %v, want a complete response", coding, c.name, err)
				}
				if last.Status == 201 {
					created++
				}
			}
			if c.whole && created != lines || !c.whole && (last.Status != 400 || last.Line != created+1 || !strings.Contains(last.Detail, c.detail)) {
				t.Errorf("%s, %s: got %d lines created and the last result %+v, want all lines, or 400 for the line after them", coding, c.name, created, last)
			}
			if done += created; s.count(t) != done {
				t.Errorf("%s, %s: got %d users, want %d", coding, c.name, s.count(t), done)
			}
		}
	}
	if r := s.post(t, user(1), "Content-Type: application/x-ndjson", "Content-Encoding: br"); r.StatusCode != 415 || r.Header.Get("Accept-Encoding") == "" {
		t.Errorf("br: got %d %v, want 415 with Accept-Encoding", r.StatusCode, r.Header)
	}
}
