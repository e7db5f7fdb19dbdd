package keys_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/node/keyring"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestMain(m *testing.M) {
	servicetest.ClearSettings()
	os.Exit(m.Run())
}

// start runs two nodes that accept API keys, and waits until the broker knows them. Their API
// answers GET /who with the name and the roles of the caller.
func start(t *testing.T, b *servicetest.Broker) (running [2]*node.Node, stops [2]func() error) {
	t.Helper()
	for i, name := range []string{"query-1", "query-2"} {
		ready, stop := servicetest.RunNode(t, b, name, func(c *node.Config) {
			c.Auth.APIKeys, c.MaxConnections, c.MaxRequests, c.RequestMemory = true, 100, 100, 64<<20
			c.Mount = func(e *echo.Echo, _ *node.Node) {
				e.GET("/who", func(c echo.Context) error {
					who := caller.Of(c.Request().Context())
					return c.String(http.StatusOK, who.Name+" "+strings.Join(who.Roles, ","))
				})
			}
		})
		select {
		case running[i] = <-ready:
			stops[i] = stop
		case <-servicetest.Context(t).Done():
			t.Fatalf("got no readiness of %s in time", name)
		}
	}
	return running, stops
}

// who asks a node who it takes the sender of a key for.
func who(t *testing.T, n *node.Node, key string) (status int, header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.API.String()+"/who", nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(text)
}

type created struct {
	ID, Key, Name string
	Roles         []string
	ExpiresAt     *time.Time `json:"expires_at"`
}

type listed struct{ Keys []keyring.Key }

func create(t *testing.T, b *servicetest.Broker, args ...string) (c created) {
	t.Helper()
	if err := clitest.Tool(t, b, &c, append([]string{"keys", "create"}, args...)...); err != nil {
		t.Fatal(err)
	}
	return c
}

func list(t *testing.T, b *servicetest.Broker) (l listed) {
	t.Helper()
	if err := clitest.Tool(t, b, &l, "keys", "list"); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTheLifeOfAKey(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, stops := start(t, b)
	first := create(t, b, "nightly export", "--role=reader,exporter", "--expires-in=90d")
	second := create(t, b, "ci")
	if first.ExpiresAt == nil || time.Until(*first.ExpiresAt).Round(time.Hour) != 90*24*time.Hour || second.ExpiresAt != nil {
		t.Errorf("got expiries %v and %v, want one in 90 days and none", first.ExpiresAt, second.ExpiresAt)
	}
	for _, n := range running { // keys create has waited for both nodes
		if status, _, body := who(t, n, first.Key); status != http.StatusOK || body != first.ID+" reader,exporter" {
			t.Errorf("%s: got %d %s for a key, want its holder", n.NodeID, status, body)
		}
	}
	if status, _, body := who(t, running[1], second.Key); status != http.StatusOK || body != second.ID+" " {
		t.Errorf("got %d %s for a key without roles, want its holder", status, body)
	}

	all := list(t, b).Keys
	if len(all) != 2 || all[0].ID != first.ID || all[0].Name != "nightly export" || strings.Join(all[0].Roles, ",") != "reader,exporter" || all[0].RevokedAt != nil {
		t.Errorf("got %+v, want both keys in the order of their creation", all)
	}
	for _, k := range all {
		if k.LastUsedAt == nil || time.Since(*k.LastUsedAt) > 2*time.Minute {
			t.Errorf("%s: got the last use %v, want a moment ago", k.Name, k.LastUsedAt)
		}
	}

	var revoked struct{ Confirmed, Unconfirmed []string }
	if err := clitest.Tool(t, b, &revoked, "keys", "revoke", first.ID); err != nil || len(revoked.Confirmed) != 2 || len(revoked.Unconfirmed) != 0 {
		t.Fatalf("got %+v, %v; want both nodes to confirm", revoked, err)
	}
	for _, n := range running { // the tool has proved it, so there is no need to wait
		if status, _, _ := who(t, n, first.Key); status != http.StatusUnauthorized {
			t.Errorf("%s: got %d for a revoked key, want 401", n.NodeID, status)
		}
		if status, _, _ := who(t, n, second.Key); status != http.StatusOK {
			t.Errorf("%s: got %d for the other key, want 200", n.NodeID, status)
		}
	}
	if err := clitest.Tool(t, b, &revoked, "keys", "revoke", first.ID); err != nil || len(revoked.Confirmed) != 2 {
		t.Errorf("the second time: got %+v, %v; want the same", revoked, err)
	}
	if k := list(t, b).Keys[0]; k.RevokedAt == nil || k.Name != "nightly export" || k.LastUsedAt == nil {
		t.Errorf("got %+v after the revocation, want the key with its name, last use and time of revocation", k)
	}

	// A node that does not answer is named, and the revocation takes effect elsewhere.
	if err := stops[0](); err != nil {
		t.Fatal(err)
	}
	if err := clitest.Tool(t, b, &revoked, "keys", "revoke", second.ID); err != nil {
		t.Errorf("with a node that has left: got %v, want no error", err)
	}
	if status, _, _ := who(t, running[1], second.Key); status != http.StatusUnauthorized {
		t.Errorf("got %d for the second key, want 401", status)
	}
}

// The response does not reveal why a node rejects a key.
func TestKeysThatAreNotAccepted(t *testing.T) {
	b := servicetest.StartBroker(t)
	running, _ := start(t, b)
	if status, _, _ := who(t, running[0], unknown); status != http.StatusUnauthorized {
		t.Errorf("got %d before there is any key, want 401", status)
	}
	k := create(t, b, "ci", "--expires-in=1m")
	revoked := create(t, b, "ci")
	if err := clitest.Tool(t, b, &struct{}{}, "keys", "revoke", revoked.ID); err != nil {
		t.Fatal(err)
	}
	n := running[1]
	type response struct {
		status          int
		challenge, body string
	}
	get := func(key string) response {
		status, header, body := who(t, n, key)
		return response{status, header.Get("WWW-Authenticate"), requestID(body)}
	}
	want := get(unknown)
	if want.status != http.StatusUnauthorized || !strings.Contains(want.challenge, `error="invalid_token"`) {
		t.Errorf("an unknown key: got %+v, want a 401 with a challenge", want)
	}
	last := "0"
	if strings.HasSuffix(k.Key, last) {
		last = "1"
	}
	for what, key := range map[string]string{
		"revoked": revoked.Key, "malformed": "clk_x", "typing error": k.Key[:len(k.Key)-1] + last, "name": k.ID,
		"secret of another key": k.Key[:30] + revoked.Key[30:],
	} {
		if got := get(key); got != want {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	if got := get(k.Key); got.status != http.StatusOK {
		t.Errorf("a valid key: got %+v, want 200", got)
	}
	if got := get(""); got.status != http.StatusUnauthorized || got.challenge != `Bearer realm="clusterlite"` {
		t.Errorf("no key: got %+v, want a 401 that asks for one", got)
	}
	if got := get("eyJhbGciOiJub25lIn0.e30."); got.status != http.StatusUnauthorized {
		t.Errorf("a token without an identity provider: got %+v, want 401", got)
	}
}

// unknown is a well-formed key that no log has.
const unknown = "clk_069jr1s0kxxjq71z38nkrkaydw_60rk4csm6mv3ee1sc5h66s35crr32chk6gtkcdsr75gp4rv4cnk0dj1nek0"

// requestID removes the id of the request from a problem.
func requestID(body string) string {
	before, _, _ := strings.Cut(body, `"instance"`)
	return before
}

func TestTextOfTheSubcommands(t *testing.T) {
	b := servicetest.StartBroker(t)
	start(t, b)
	run := func(args ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		if err := cli.Run(servicetest.Context(t), append(append([]string{"keys"}, args...), "--kafka-brokers="+b.Addr()), &out, &errs); err != nil && !errors.Is(err, process.ErrReported) {
			t.Fatal(err)
		}
		return out.String(), errs.String()
	}
	key, notes := run("create", "ci", "--role=editor")
	key = strings.TrimSuffix(key, "\n")
	id := key[:30]
	if len(key) != 90 || !strings.Contains(notes, id) || strings.Contains(notes, key) {
		t.Errorf("got %q and notes %q, want only the key, and its id in the notes", key, notes)
	}
	out, _ := run("list")
	for _, part := range []string{id, "ci", "editor", "valid", "never"} {
		if !strings.Contains(out, part) {
			t.Errorf("got the list\n%s\nwant it to have %q", out, part)
		}
	}
	if strings.Contains(out, key) {
		t.Error("got the key in the list, want only its id")
	}
	if out, _ := run("revoke", id); !strings.Contains(out, "2 of 2") {
		t.Errorf("got %q, want the number of nodes that have confirmed", out)
	}
	if out, _ := run("list"); strings.Contains(out, id) || !strings.Contains(out, "1 revoked or expired") {
		t.Errorf("got the list\n%s\nwant a note about the revoked key", out)
	}
	if out, _ := run("list", "--all"); !strings.Contains(out, id) || !strings.Contains(out, "revoked") {
		t.Errorf("got the list\n%s\nwant it to have the revoked key", out)
	}
}

func TestUsageErrors(t *testing.T) {
	clitest.CheckUsage(t, "keys", [][]string{
		{}, {"create"}, {"create", ""}, {"create", strings.Repeat("x", 101)}, {"create", "n", "--role=anonymous"}, {"create", "n", "--role=a b"},
		{"create", "n", "--expires-in=0s"}, {"create", "n", "--expires-in=-1d"}, {"create", "n", "--expires-in=1y"}, {"create", "n", "--expires-in=40000d"},
		{"revoke"}, {"revoke", "ci"}, {"revoke", unknown},
	})
	if err := cli.Run(t.Context(), []string{"keys", "revoke", unknown}, io.Discard, io.Discard); err == nil || strings.Contains(err.Error(), unknown) {
		t.Errorf("got %v, want an error without the key", err)
	}
	b := servicetest.StartBroker(t)
	if err := clitest.Tool(t, b, &struct{}{}, "keys", "create", "ci"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("got %v without a topic, want an error that names it", err)
	}
}
