package kubernetes_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// A load is a client that writes and reads back through Nginx until it ends. It opens a connection for each
// request, and repeats a write with its Idempotency-Key until it is acknowledged.
type load struct {
	url    string
	client *http.Client
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu                        sync.Mutex
	written                   []string // paths of acknowledged entities
	reads, retried, unreached int
	wrong                     []string
}

func startLoad(t *testing.T, url string) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{url: url, cancel: cancel, client: &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	t.Cleanup(func() { cancel(); l.done.Wait() })
	l.done.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			l.write(ctx, n)
			time.Sleep(100 * time.Millisecond) // a light load: this is about order and answers, not about rates
		}
	})
	return l
}

var idOf = regexp.MustCompile(`"id":"([^"]+)"`)

func (l *load) write(ctx context.Context, n int) {
	body := fmt.Sprintf(`{"name":"Ada","email":"%d-%d@example.com"}`, n, time.Now().UnixNano())
	key := fmt.Sprintf("key-%d-%d", n, time.Now().UnixNano())
	for ctx.Err() == nil {
		status, answer, err := l.do(ctx, http.MethodPost, "/users", body, key)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			l.count(&l.unreached)
		case status == http.StatusServiceUnavailable:
			l.count(&l.retried)
		case status != http.StatusCreated:
			l.fail("POST", status, answer)
			return
		default:
			l.read(ctx, "/users/"+idOf.FindStringSubmatch(answer)[1])
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (l *load) read(ctx context.Context, path string) {
	status, answer, err := l.do(ctx, http.MethodGet, path, "", "")
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		l.count(&l.unreached)
	case status != http.StatusOK:
		l.fail("GET", status, answer)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	l.written = append(l.written, path)
}

func (l *load) count(n *int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*n++
}

func (l *load) fail(method string, status int, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprint(method, " ", status, " ", answer))
}

func (l *load) do(ctx context.Context, method, path, body, key string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, l.url+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	response, err := l.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}

// end stops the load, and checks that no read failed and that everything that was acknowledged is there.
func (l *load) end(t *testing.T, what string) {
	t.Helper()
	l.cancel()
	l.done.Wait()
	for _, wrong := range l.wrong {
		t.Errorf("%s: got %s, want no failure but 503 to writes", what, wrong)
	}
	for _, path := range l.written {
		status, answer, err := l.do(t.Context(), http.MethodGet, path, "", "")
		if err != nil || status != http.StatusOK {
			t.Errorf("%s: GET %s: got %d %s %v, want the acknowledged entity", what, path, status, answer, err)
		}
	}
	fmt.Printf("%s: %d writes acknowledged and read back, %d answered 503 before, %d connections failed\n", what, len(l.written), l.retried, l.unreached)
	if len(l.written) == 0 {
		t.Errorf("%s: got no acknowledged write, want some", what)
	}
}
