package topic_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/clusterlite/operator/topic/reindex"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

func declare(t *testing.T, dir, keyword string) {
	t.Helper()
	schema := `{"title":"things","type":"object","properties":{"code":{"type":"string"` + keyword + `}}}`
	if err := os.WriteFile(filepath.Join(dir, "things.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The test makes a field unique in the order of docs/how-to/make-a-field-unique.md.
func TestReindex(t *testing.T) {
	definitions, coming, kept := t.TempDir(), t.TempDir(), t.TempDir()
	declare(t, definitions, "")
	declare(t, coming, `,"x-unique":true`)
	dir := t.TempDir()
	s := clitest.Serve(t, dir, "--collections="+definitions)
	reindexed := func(dir string, flags ...string) (reindex.Report, string, error) {
		t.Helper()
		var out, text bytes.Buffer
		args := append([]string{"reindex", "things", "--kafka-brokers=" + s.Kafka, "--collections=" + dir, "--data-dir=" + kept}, flags...)
		err := cli.Run(t.Context(), append(args, "--dry-run"), &text, os.Stderr)
		if err != nil && !errors.Is(err, process.ErrReported) {
			t.Fatal(err)
		}
		err = cli.Run(t.Context(), append(args, "--output=json"), &out, os.Stderr)
		var report reindex.Report
		if json.Unmarshal(out.Bytes(), &report) != nil {
			t.Fatalf("got %v: %s, want a report in JSON", err, out.String())
		}
		return report, text.String(), err
	}
	_, first := s.Post("things", `{"code":"a"}`)
	_, second := s.Post("things", `{"code":"a"}`)
	for i := range 20 {
		s.Post("things", fmt.Sprintf(`{"code":"c%d"}`, i))
	}

	// Before the change, clashes are reported.
	report, text, err := reindexed(coming)
	if !errors.Is(err, process.ErrReported) || len(report.Clashes) != 1 || !strings.Contains(text, fmt.Sprintf("clash: code %q is shared by %s, %s\n", "a", first, second)) {
		t.Errorf("got %+v, %v, want one reported clash\n%s", report, err, text)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.URL+"/things/"+second, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := http.DefaultClient.Do(request); err != nil || r.StatusCode != 204 {
		t.Fatalf("delete: got %v, %v, want 204", r, err)
	}

	// The definition changes first, and the claims follow.
	s.Stop()
	declare(t, definitions, `,"x-unique":true`)
	s = clitest.Serve(t, dir, "--collections="+definitions)
	if status, _ := s.Post("things", `{"code":"d"}`); status != 201 {
		t.Errorf("create: got %d, want 201", status)
	}
	report, text, err = reindexed(definitions)
	if err != nil || report.Changed != 21 || report.Lacking != 0 || report.Entities != 22 || !strings.Contains(text, "21 entities lack claims") {
		t.Errorf("got %+v, %v, want 21 changed entities of 22\n%s", report, err, text)
	}
	for _, code := range []string{"a", "c7", "d"} {
		if status, _ := s.Post("things", fmt.Sprintf(`{"code":%q}`, code)); status != 409 {
			t.Errorf("%s: got %d, want 409", code, status)
		}
	}
	if report, _, err = reindexed(definitions); err != nil || report.Changed != 0 {
		t.Errorf("run again: got %+v, %v, want no change", report, err)
	}
}

func TestReindexUsageErrors(t *testing.T) {
	dir := t.TempDir()
	s := clitest.Serve(t, dir)
	for said, args := range map[string][]string{
		"declared: users":           {"things"},
		"no-such-topic":             {"users", "--kafka-topic=no-such-topic", "--kafka-brokers=" + s.Kafka},
		"in use by":                 {"users", "--data-dir=" + dir},
		"the broker is unreachable": {"users", "--kafka-brokers=127.0.0.1:1"},
		"--wait":                    {"users", "--wait=-1s"},
	} {
		err := cli.Run(t.Context(), append([]string{"reindex"}, args...), io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%v: got %v, want an error with %q", args, err, said)
		}
		if usage := (*settings.UsageError)(nil); errors.As(err, &usage) != (said == "declared: users" || said == "--wait") {
			t.Errorf("%v: got an error of type %T, want a usage error only for wrong arguments", args, err)
		}
	}
	if err := cli.Run(t.Context(), []string{"reindex", "users", "--kafka-topic=no-such-topic", "--kafka-brokers=" + s.Kafka}, io.Discard, io.Discard); err == nil {
		t.Error("got success for a missing topic, want an error")
	}
}
