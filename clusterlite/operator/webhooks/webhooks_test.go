package webhooks_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/service/node/webhooks"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestMain(m *testing.M) {
	servicetest.ClearSettings()
	os.Exit(m.Run())
}

// An endpoint accepts events, or answers with a status.
type endpoint struct {
	mu     sync.Mutex
	status int
	names  []string // of the accepted entities
	types  []string
}

// ServeHTTP implements [http.Handler].
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var event struct {
		Type string
		Data struct{ Name string }
	}
	b, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(b, &event) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.status < 300 {
		e.names, e.types = append(e.names, event.Data.Name), append(e.types, event.Type)
	}
	w.WriteHeader(e.status)
}

func (e *endpoint) answer(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

func (e *endpoint) accepted() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Join(e.names, " ")
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for ctx := servicetest.Context(t); !is(); time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("got no %s in time, want it", what)
		}
	}
}

// The subcommands act on a webhook of clusterlite serve, with a filter of lists.
func TestTheSubcommands(t *testing.T) {
	e := &endpoint{status: http.StatusOK}
	target := httptest.NewServer(e)
	t.Cleanup(target.Close)
	dir := t.TempDir()
	path := filepath.Join(dir, "webhooks.json")
	t.Setenv("HOOK_SECRET", "whsec_"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	declaration := fmt.Sprintf(`{"webhooks": [{"name": "staff", "url": "%s/in?token=hidden", "plaintext": true, "collections": ["users"],
		"filter": "name[prefix]=A", "secret_env": "HOOK_SECRET", "retry_for": "0s", "from": "beginning"}]}`, target.URL)
	if err := os.WriteFile(path, []byte(declaration), 0o600); err != nil {
		t.Fatal(err)
	}
	s := clitest.Serve(t, filepath.Join(dir, "data"), "--webhooks="+path)
	tool := func(into any, args ...string) error {
		var out, problems bytes.Buffer
		err := cli.Run(servicetest.Context(t), append(args, "--kafka-brokers="+s.Kafka, "--output=json"), &out, &problems)
		if err == nil && into != nil {
			err = json.Unmarshal(out.Bytes(), into)
		}
		if strings.Contains(out.String()+problems.String(), "hidden") {
			t.Errorf("%q: got %s %s, want no part of the path", args, out.String(), problems.String())
		}
		return err
	}
	var list struct{ Webhooks []webhooks.Status }
	listed := func() webhooks.Status {
		if err := tool(&list, "webhooks", "list"); err != nil || len(list.Webhooks) != 1 {
			return webhooks.Status{}
		}
		return list.Webhooks[0]
	}
	until(t, "delivery", func() bool { return listed().Delivery != nil })
	post := func(name string) {
		if status, _ := s.Post("users", fmt.Sprintf(`{"name":%q,"email":"%s@example.com"}`, name, name)); status != http.StatusCreated {
			t.Fatalf("got %d, want 201", status)
		}
	}
	post("Bob")
	post("Ada")
	until(t, "event", func() bool { return e.accepted() == "Ada" })

	e.answer(http.StatusTeapot)
	post("Alan")
	until(t, "parked event", func() bool { return listed().Parked == 1 })
	if err := tool(nil, "webhooks", "pause", "staff", "--reason", "a test"); err != nil {
		t.Fatal(err)
	}
	if w := listed(); w.State != webhooks.Paused || w.Reason != "a test" {
		t.Errorf("got %+v, want a paused webhook with its reason", w)
	}
	e.answer(http.StatusOK)
	var done webhooks.Replayed
	if err := tool(&done, "webhooks", "replay", "staff"); err != nil || done.Events != 1 {
		t.Errorf("got %+v, %v, want 1 event", done, err)
	}
	if got := e.accepted(); got != "Ada" {
		t.Errorf("while it is paused: got %s, want no request", got)
	}
	if err := tool(nil, "webhooks", "resume", "staff"); err != nil {
		t.Fatal(err)
	}
	until(t, "replayed event", func() bool { return e.accepted() == "Ada Alan" })
	if err := tool(&done, "webhooks", "replay", "staff", "--from", "0"); err != nil || done.From == nil {
		t.Errorf("got %+v, %v, want a position", done, err)
	}
	// In any order, because they belong to different entities.
	until(t, "events from the beginning", func() bool {
		got := strings.TrimPrefix(e.accepted(), "Ada Alan ")
		return got == "Ada Alan" || got == "Alan Ada"
	})

	for args, want := range map[string]string{
		"pause other":                     "no webhook of this node has this name",
		"replay staff --event x":          "has not parked an event with this id",
		"replay staff --from 1000000":     "after the end of the log",
		"replay staff --from 1 --event x": "can't be used together",
	} {
		if err := tool(nil, append([]string{"webhooks"}, strings.Fields(args)...)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("webhooks %s: got %v, want %q", args, err, want)
		}
	}
	var status struct{ Webhooks []webhooks.Status }
	if err := json.Unmarshal(clitest.Request(t, "GET", s.Admin+"/status", ""), &status); err != nil || len(status.Webhooks) != 1 || status.Webhooks[0].Delivery == nil {
		t.Errorf("got %+v, %v in the status, want the webhook", status, err)
	}
	metrics := string(clitest.Request(t, "GET", s.Admin+"/metrics", ""))
	for _, want := range []string{`clusterlite_webhook_deliveries_total{result="delivered",webhook="staff"} `, `clusterlite_webhook_delivering{webhook="staff"} 1`, `clusterlite_webhook_lag_events{webhook="staff"}`, `clusterlite_webhook_parked{webhook="staff"} 0`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("got no %q in the metrics, want it", want)
		}
	}
	var table bytes.Buffer
	if err := cli.Run(servicetest.Context(t), []string{"webhooks", "list", "--kafka-brokers=" + s.Kafka}, &table, io.Discard); err != nil || !strings.Contains(table.String(), "staff") || !strings.Contains(table.String(), "active") {
		t.Errorf("got %s, %v, want the webhook in a table", table.String(), err)
	}
}

// A mistake in the file stops the start, and names the place.
func TestMistakesStopTheStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "webhooks.json")
	declaration := `{"webhooks": [{"name": "staff", "url": "https://example.com/in", "collections": ["users"], "filter": "shoe=42", "secret_env": "HOOK_SECRET"}]}`
	if err := os.WriteFile(path, []byte(declaration), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append(clitest.ServeArgs(filepath.Join(dir, "data")), "--webhooks="+path)
	err := cli.Run(servicetest.Context(t), args, io.Discard, io.Discard)
	if want := path + `: webhooks[0] (staff): filter: "shoe" is no filter of the collection users`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if err := cli.Run(servicetest.Context(t), append(args, "--journal=off"), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "needs the journal") {
		t.Errorf("without a journal: got %v, want an error", err)
	}
}
