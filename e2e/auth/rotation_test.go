package auth_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The identity provider replaces its key again and again, and withdraws the old ones, while
// clients read and write with the newest token. No request fails.
func TestSigningKeysAreReplacedUnderLoad(t *testing.T) {
	r := newRig(t)
	var token atomic.Value
	token.Store(r.token)
	var requests, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				method, path, body, want := http.MethodGet, r.entity, "", http.StatusOK
				if i%2 == 0 {
					method, body = http.MethodPatch, `{"name":"`+secret+`"}`
				}
				requests.Add(1)
				if got, _, text := r.send(t, method, path, body, "Bearer "+token.Load().(string)); got != want {
					failed.Add(1)
					t.Errorf("%s %s: got %d %s, want %d", method, path, got, text, want)
				}
			}
		})
	}
	progress := func() {
		t.Helper()
		from := requests.Load()
		for end := time.Now().Add(time.Minute); requests.Load() < from+20; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("got no progress of the clients, want some")
			}
		}
	}
	for range 3 {
		progress()
		r.provider.AddKey(t)
		token.Store(r.provider.Token(t, "ada", nil)) // its key is unknown to the node
		progress()
		r.provider.WithdrawKeys()
		progress()
	}
	close(stop)
	load.Wait()
	if failed.Load() > 0 || requests.Load() == 0 {
		t.Errorf("got %d failures of %d requests, want none", failed.Load(), requests.Load())
	}
}
