package e2e_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// A hooked event is what an endpoint accepted.
type hooked struct {
	ID, Subject, Entityversion string
	header                     http.Header
	body                       []byte
}

// An endpoint accepts events of webhooks.
type endpoint struct {
	t   *testing.T
	mu  sync.Mutex
	got []hooked
}

// ServeHTTP implements [http.Handler].
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	h := hooked{header: r.Header, body: body}
	if err := json.Unmarshal(body, &h); err != nil || h.ID != r.Header.Get("webhook-id") {
		e.t.Errorf("got %s, %v, want an event with the id %s", body, err, r.Header.Get("webhook-id"))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, h)
	w.WriteHeader(http.StatusNoContent)
}

func (e *endpoint) accepted() []hooked {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got)
}

// signatures counts the valid and the other signatures of a request.
func (h hooked) signatures(t *testing.T, secret string) (valid, others int) {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(secret), "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", h.ID, h.header.Get("webhook-timestamp"), h.body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, s := range strings.Fields(h.header.Get("webhook-signature")) {
		if s == want {
			valid++
		} else {
			others++
		}
	}
	return valid, others
}

// hook is a webhook in /status.
type hook struct {
	State    string
	Node     string
	Delivery *struct {
		LagEvents int64 `json:"lag_events"`
	}
}

// hookOf returns the only webhook of a process; the zero hook if it does not answer.
func hookOf(t *testing.T, p *cluster.Process) hook {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.Admin+"/webhooks", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return hook{}
	}
	defer func() { _ = response.Body.Close() }()
	var list struct{ Webhooks []hook }
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil || len(list.Webhooks) != 1 {
		return hook{}
	}
	return list.Webhooks[0]
}

func awaitHook(t *testing.T, what string, atMost time.Duration, is func() bool) {
	t.Helper()
	for end := time.Now().Add(atMost); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("got no %s within %s, want it", what, atMost)
		}
	}
}

// TestWebhooksSurviveTheirNode kills the node that delivers, and then stops the next one, while clients
// write. The endpoint gets each event, and those of an entity in order, apart from repeats.
func TestWebhooksSurviveTheirNode(t *testing.T) {
	e := &endpoint{t: t}
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "webhooks.json")
	secret := "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
	declaration := fmt.Sprintf(`{"webhooks": [{"name": "all", "url": %q, "plaintext": true, "collections": ["users"], "from": "beginning", "secret_env": "HOOK_SECRET"}]}`, s.URL)
	if err := os.WriteFile(file, []byte(declaration), 0o600); err != nil {
		t.Fatal(err)
	}
	c := cluster.Serve(t)
	nodes := []*cluster.Process{}
	for i := range 3 {
		p := cluster.QueryOf(t, c.Brokers, map[string]string{
			"CLUSTERLITE_NODE_ID": fmt.Sprintf("query-%d", i+1), "CLUSTERLITE_WEBHOOKS": file, "HOOK_SECRET": secret,
			"CLUSTERLITE_COLLECTIONS": filepath.Join(cluster.Root(t), "examples"),
		})
		p.Start()
		nodes = append(nodes, p)
	}
	deliverer := func() *cluster.Process {
		for _, p := range nodes {
			if !p.Exited() && hookOf(t, p).Delivery != nil {
				return p
			}
		}
		return nil
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers sync.WaitGroup
	target := suite.Target{URL: c.URL}
	for range 3 {
		writers.Go(func() {
			u := target.Create(t, "0")
			for v := 1; ctx.Err() == nil; v++ {
				target.Do(t, "PATCH", "/users/"+u.ID, fmt.Sprintf(`{"name":"%d"}`, v), "Content-Type: application/merge-patch+json").Want(t, 200)
				time.Sleep(100 * time.Millisecond) // a pace that a loaded machine can follow
			}
		})
	}
	delivered := func(after int) bool { return len(e.accepted()) > after }
	for _, end := range []func(*cluster.Process){(*cluster.Process).Kill, func(p *cluster.Process) { p.Stop() }} {
		before := len(e.accepted())
		awaitHook(t, "events", 2*time.Minute, func() bool { return delivered(before+20) && deliverer() != nil })
		lost := deliverer()
		end(lost)
		awaitHook(t, "another node that delivers", 2*time.Minute, func() bool { p := deliverer(); return p != nil && p != lost })
		before = len(e.accepted())
		awaitHook(t, "events after the loss of a node", 2*time.Minute, func() bool { return delivered(before + 20) })
	}
	stop()
	writers.Wait()
	awaitHook(t, "end of the lag", 2*time.Minute, func() bool {
		p := deliverer()
		return p != nil && hookOf(t, p).Delivery.LagEvents == 0
	})

	var want []hooked
	for offset := "-1"; ; {
		r := target.Do(t, "GET", "/users/changes?offset="+offset, "").Want(t, 200)
		var some []hooked
		if err := json.Unmarshal(r.Body, &some); err != nil {
			t.Fatal(err)
		}
		want = append(want, some...)
		if offset = r.Header.Get("Stream-Next-Offset"); r.Header.Get("Stream-Up-To-Date") != "" {
			break
		}
	}
	seen, got, orders := map[string]bool{}, map[string][]string{}, map[string][]string{}
	all := e.accepted()
	for _, h := range all {
		if !seen[h.ID] {
			seen[h.ID] = true
			got[h.Subject] = append(got[h.Subject], h.Entityversion)
		}
		if valid, others := h.signatures(t, secret); valid != 1 || others != 0 {
			t.Fatalf("got %d valid signatures and %d others of %s, want one", valid, others, h.ID)
		}
	}
	for _, h := range want {
		orders[h.Subject] = append(orders[h.Subject], h.Entityversion)
	}
	for subject, versions := range orders {
		if !slices.Equal(got[subject], versions) {
			t.Errorf("%s: got the versions %v, want %v", subject, got[subject], versions)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("got %d events, want %d", len(seen), len(want))
	}
	t.Logf("%d events, %d of them repeated", len(want), len(all)-len(seen))
}

// TestRunbookOfWebhooks runs the blocks of the guide against an endpoint with TLS.
func TestRunbookOfWebhooks(t *testing.T) {
	page := filepath.Join(howTo, "send-webhooks.md")
	e := &endpoint{t: t}
	s := httptest.NewTLSServer(e)
	t.Cleanup(s.Close)
	dir := t.TempDir()
	authority := filepath.Join(dir, "authority.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	const documented = "https://billing.example.com"
	declare := marked(t, page, "runbook of webhooks")
	if !strings.Contains(declare, documented) {
		t.Fatalf("got a guide without %s", documented)
	}
	runAll(t, dir, os.Environ(), strings.ReplaceAll(declare, documented, s.URL))

	broker := cluster.Address(t)
	p := cluster.ServeWith(t, map[string]string{
		"CLUSTERLITE_WEBHOOKS": filepath.Join(dir, "hooks", "webhooks.json"), "CLUSTERLITE_KAFKA_LISTEN": broker, "SSL_CERT_FILE": authority,
	})
	p.Start()
	p.AwaitReady()
	awaitHook(t, "delivery", time.Minute, func() bool { return hookOf(t, p).Delivery != nil })
	target := suite.Target{URL: p.URL}
	target.Create(t, "Ada")
	awaitHook(t, "event", time.Minute, func() bool { return len(e.accepted()) == 1 })
	old, err := os.ReadFile(filepath.Join(dir, "hooks", "billing.secret"))
	if err != nil {
		t.Fatal(err)
	}
	if valid, others := e.accepted()[0].signatures(t, string(old)); valid != 1 || others != 0 {
		t.Errorf("got %d valid signatures and %d others, want one", valid, others)
	}
	script := strings.ReplaceAll(marked(t, page, "runbook of running webhooks"), "127.0.0.1:19092", broker)
	out := runAll(t, dir, os.Environ(), script)
	for _, want := range []string{"WEBHOOK", "billing is paused", "billing is active", "billing delivers 0 parked events again", "billing continues after position 0"} {
		if !strings.Contains(out, want) {
			t.Errorf("got no %q in the output, want it\n%s", want, out)
		}
	}
	awaitHook(t, "event again, with two signatures", time.Minute, func() bool {
		target.Create(t, "Bob")
		all := e.accepted()
		valid, others := all[len(all)-1].signatures(t, string(old))
		return len(all) > 2 && valid == 1 && others == 1
	})
}
