package gcs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/gcs"
	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/buckettest"
)

// A server implements the part of the JSON API that a bucket of snapshots needs. It lists two
// objects on each page.
type server struct {
	mu       sync.Mutex
	objects  map[string][]byte
	sessions map[string][]byte // by the object's name
	requests int
	// If fails is not zero, every request fails whose number, counted from 1, is divisible by it.
	fails int
	// If loses is set, each part of an upload arrives without its second half, once.
	loses bool
	lost  map[int]bool
}

func start(t *testing.T, s *server) *server {
	t.Helper()
	gcs.Impatient(t)
	s.objects, s.sessions, s.lost = map[string][]byte{}, map[string][]byte{}, map[int]bool{}
	l := httptest.NewServer(s)
	t.Cleanup(l.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", strings.TrimPrefix(l.URL, "http://"))
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests++; s.fails > 0 && s.requests%s.fails == 0 {
		http.Error(w, "try again", http.StatusServiceUnavailable)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, "/storage/v1/b/backups/o/")
	switch {
	case r.URL.Path == "/upload/storage/v1/b/backups/o" && r.Method == http.MethodPost:
		name := r.URL.Query().Get("name")
		s.sessions[name] = nil
		w.Header().Set("Location", "http://"+r.Host+"/session/"+name)
	case strings.HasPrefix(r.URL.Path, "/session/"):
		s.take(w, r, strings.TrimPrefix(r.URL.Path, "/session/"))
	case r.URL.Path == "/storage/v1/b/backups/o":
		s.list(w, r.URL.Query())
	case s.objects[name] == nil:
		http.Error(w, `{"error":{"message":"No such object"}}`, http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(s.objects, name)
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Query().Get("alt") == "media":
		_, _ = w.Write(s.objects[name])
	default:
		_, _ = fmt.Fprintf(w, `{"name":%q}`, name)
	}
}

// take takes a part of an upload.
func (s *server) take(w http.ResponseWriter, r *http.Request, name string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has disconnected
	}
	span, total, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Content-Range"), "bytes "), "/")
	if from, _, found := strings.Cut(span, "-"); found {
		offset, _ := strconv.Atoi(from)
		if offset != len(s.sessions[name]) {
			http.Error(w, "out of order", http.StatusBadRequest)
			return
		}
		if s.loses && !s.lost[offset] && len(body) > 1 {
			s.lost[offset], s.lost[offset+len(body)/2] = true, true
			body = body[:len(body)/2]
		}
		s.sessions[name] = append(s.sessions[name], body...)
	}
	arrived := len(s.sessions[name])
	if total == strconv.Itoa(arrived) {
		s.objects[name] = s.sessions[name]
		return
	}
	if arrived > 0 {
		w.Header().Set("Range", fmt.Sprintf("bytes=0-%d", arrived-1))
	}
	w.WriteHeader(http.StatusPermanentRedirect)
}

func (s *server) list(w http.ResponseWriter, query url.Values) {
	type item struct {
		Name    string `json:"name"`
		Size    string `json:"size"`
		Updated string `json:"updated"`
	}
	var page struct {
		Items []item `json:"items,omitempty"`
		Next  string `json:"nextPageToken,omitempty"`
	}
	for i := range 10 {
		for _, letter := range []string{"a", "b", "c"} {
			name := fmt.Sprintf("%s-%d", letter, i)
			content, found := s.objects[name]
			if !found || !strings.HasPrefix(name, query.Get("prefix")) || i <= after(query.Get("pageToken")) {
				continue
			}
			if len(page.Items) == 2 {
				page.Next = page.Items[1].Name
				continue
			}
			page.Items = append(page.Items, item{name, strconv.Itoa(len(content)), time.Now().UTC().Format(time.RFC3339Nano)})
		}
	}
	_ = json.NewEncoder(w).Encode(page)
}

func after(page string) int {
	if _, number, found := strings.Cut(page, "-"); found {
		n, _ := strconv.Atoi(number)
		return n
	}
	return -1
}

func open(t *testing.T, address string) snapshots.Bucket {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	b, err := gcs.Open(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBucket(t *testing.T) {
	start(t, &server{})
	buckettest.Run(t, open(t, "gs://backups"))
}

// Temporary failures are retried, and an upload continues where it was interrupted.
func TestTemporaryFailures(t *testing.T) {
	for name, s := range map[string]*server{"failing": {fails: 3}, "failing and losing data": {fails: 4, loses: true}} {
		t.Run(name, func(t *testing.T) {
			start(t, s)
			buckettest.Run(t, open(t, "gs://backups"))
		})
	}
}

// A failure that lasts is an error that says what the service answered.
func TestLastingFailures(t *testing.T) {
	for status, requests := range map[int]int{http.StatusForbidden: 1, http.StatusServiceUnavailable: 6} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			gcs.Impatient(t)
			var got int
			l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				got++
				http.Error(w, `{"error":{"message":"the reason"}}`, status)
			}))
			t.Cleanup(l.Close)
			t.Setenv("STORAGE_EMULATOR_HOST", l.URL)
			_, err := open(t, "gs://backups").Exists(t.Context(), "a-1")
			if err == nil || !strings.Contains(err.Error(), strconv.Itoa(status)) || !strings.Contains(err.Error(), "the reason") {
				t.Errorf("got %v, want the status %d and the reason", err, status)
			}
			if got != requests {
				t.Errorf("got %d requests, want %d", got, requests)
			}
		})
	}
}

func TestUnknownParameters(t *testing.T) {
	for _, query := range []string{"grpc=true", "zonal=true", "anonymous=perhaps"} {
		if b, err := gcs.Open(t.Context(), &url.URL{Scheme: gcs.Scheme, Host: "backups", RawQuery: query}); err == nil {
			t.Errorf("%s: got %v, want an error", query, b)
		}
	}
}
