package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/reindex"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// A serving is a running `clusterlite serve`.
type serving struct {
	t                 *testing.T
	url, admin, kafka string
	stop              func()
}

func startServe(t *testing.T, args ...string) serving {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := &greeting{done: make(chan struct{})}
	ran := make(chan error, 1)
	go func() { ran <- run(ctx, args, out, io.Discard) }()
	select {
	case <-out.done:
	case err := <-ran:
		t.Fatalf("it ended: %v", err)
	case <-time.After(time.Minute):
		t.Fatal("it did not become ready")
	}
	s := serving{t: t}
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.stop)
	for _, line := range strings.Split(out.String(), "\n") {
		switch fields := strings.Fields(line); {
		case len(fields) == 2 && fields[0] == "API":
			s.url = fields[1]
		case len(fields) == 2 && fields[0] == "admin":
			s.admin = strings.TrimSuffix(fields[1], "/status")
		case len(fields) == 2 && fields[0] == "Kafka":
			s.kafka = fields[1]
		}
	}
	return s
}

// post creates an entity and returns the answer's status and the entity's id.
func (s serving) post(collection, body string) (status int, id string) {
	s.t.Helper()
	r, err := http.Post(s.url+"/"+collection, "application/json", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	var e struct{ ID string }
	if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		s.t.Fatal(err)
	}
	return r.StatusCode, e.ID
}

func declare(t *testing.T, dir, keyword string) {
	t.Helper()
	schema := `{"title":"things","type":"object","properties":{"code":{"type":"string"` + keyword + `}}}`
	if err := os.WriteFile(filepath.Join(dir, "things.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A field becomes unique in the order of docs/how-to/make-a-field-unique.md.
func TestReindex(t *testing.T) {
	definitions, coming, kept := t.TempDir(), t.TempDir(), t.TempDir()
	declare(t, definitions, "")
	declare(t, coming, `,"x-unique":true`)
	args := append(serveArgs(t.TempDir()), "--collections="+definitions)
	s := startServe(t, args...)
	reindexed := func(dir string, flags ...string) (reindex.Report, string, error) {
		t.Helper()
		var out, text bytes.Buffer
		args := append([]string{"reindex", "things", "--kafka-brokers=" + s.kafka, "--collections=" + dir, "--data-dir=" + kept}, flags...)
		err := run(t.Context(), append(args, "--dry-run"), &text, os.Stderr)
		if err != nil && !errors.Is(err, process.ErrReported) {
			t.Fatal(err)
		}
		err = run(t.Context(), append(args, "--output=json"), &out, os.Stderr)
		var report reindex.Report
		if json.Unmarshal(out.Bytes(), &report) != nil {
			t.Fatalf("got %v: %s", err, out.String())
		}
		return report, text.String(), err
	}
	_, first := s.post("things", `{"code":"a"}`)
	_, second := s.post("things", `{"code":"a"}`)
	for i := range 20 {
		s.post("things", fmt.Sprintf(`{"code":"c%d"}`, i))
	}

	// Before the change, clashes are reported.
	report, text, err := reindexed(coming)
	if !errors.Is(err, process.ErrReported) || len(report.Clashes) != 1 || !strings.Contains(text, fmt.Sprintf("clash: code %q is shared by %s, %s\n", "a", first, second)) {
		t.Errorf("got %+v, %v\n%s", report, err, text)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.url+"/things/"+second, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := http.DefaultClient.Do(request); err != nil || r.StatusCode != 204 {
		t.Fatalf("delete: %v, %v", r, err)
	}

	// The change, then the claims.
	s.stop()
	declare(t, definitions, `,"x-unique":true`)
	s = startServe(t, args...)
	if status, _ := s.post("things", `{"code":"d"}`); status != 201 {
		t.Errorf("create: %d", status)
	}
	report, text, err = reindexed(definitions)
	if err != nil || report.Changed != 21 || report.Lacking != 0 || report.Entities != 22 || !strings.Contains(text, "21 entities lack claims") {
		t.Errorf("got %+v, %v\n%s", report, err, text)
	}
	for _, code := range []string{"a", "c7", "d"} {
		if status, _ := s.post("things", fmt.Sprintf(`{"code":%q}`, code)); status != 409 {
			t.Errorf("%s: %d", code, status)
		}
	}
	if report, _, err = reindexed(definitions); err != nil || report.Changed != 0 {
		t.Errorf("run again: %+v, %v", report, err)
	}
}

func TestReindexUsageErrors(t *testing.T) {
	dir := t.TempDir()
	s := startServe(t, serveArgs(dir)...)
	for said, args := range map[string][]string{
		"declared: users":           {"things"},
		"no-such-topic":             {"users", "--kafka-topic=no-such-topic", "--kafka-brokers=" + s.kafka},
		"in use by":                 {"users", "--data-dir=" + dir},
		"the broker is unreachable": {"users", "--kafka-brokers=127.0.0.1:1"},
		"--wait":                    {"users", "--wait=-1s"},
	} {
		err := run(t.Context(), append([]string{"reindex"}, args...), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%v: got %v", args, err)
		}
		if usage := (*settings.UsageError)(nil); errors.As(err, &usage) != (said == "declared: users" || said == "--wait") {
			t.Errorf("%v: %T", args, err)
		}
	}
	if err := run(t.Context(), []string{"reindex", "users", "--kafka-topic=no-such-topic", "--kafka-brokers=" + s.kafka}, io.Discard, io.Discard); err == nil {
		t.Error("the topic was created")
	}
}
