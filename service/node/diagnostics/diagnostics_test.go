package diagnostics_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/node/diagnostics"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

func served(t *testing.T, l *diagnostics.Log) string {
	t.Helper()
	w := httptest.NewRecorder()
	l.ServeHTTP(w, nil)
	return w.Body.String()
}

func TestTheLastLinesAreKept(t *testing.T) {
	var out bytes.Buffer
	l := diagnostics.NewLog(&out)
	var want strings.Builder
	for i := range 9000 {
		fmt.Fprintf(io.MultiWriter(&want), "line %04d %s\n", i, strings.Repeat("x", 89))
		if _, err := fmt.Fprintf(l, "line %04d %s\n", i, strings.Repeat("x", 89)); err != nil {
			t.Fatal(err)
		}
	}
	if out.String() != want.String() {
		t.Error("got lines that were not passed on unchanged")
	}
	got := served(t, l)
	if !strings.HasSuffix(want.String(), got) || !strings.HasPrefix(got, "line ") || len(got) > 256<<10 || len(got) < 256<<10-200 {
		t.Errorf("got %d bytes from %.20q on, want the last 256 KiB in whole lines", len(got), got)
	}
	if _, err := l.Write(bytes.Repeat([]byte("y"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if got := served(t, l); len(got) > 256<<10 {
		t.Errorf("got %d bytes, want at most 256 KiB", len(got))
	}
}

func TestLinesOfManyGoroutines(t *testing.T) {
	l := diagnostics.NewLog(io.Discard)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				_, _ = io.WriteString(l, "a line\n")
				_ = served(t, l)
			}
		})
	}
	all.Wait()
	if got := strings.Count(served(t, l), "a line\n"); got != 1600 {
		t.Errorf("got %d lines, want 1600", got)
	}
}

// Every setting that can hold a secret is hidden, and the others are shown.
func TestSettingsShowNoSecret(t *testing.T) {
	const mark = "MARKED"
	type all struct {
		settings.Node
		settings.Kafka
		settings.HTTP
	}
	var s all
	s.NodeID, s.ReadyLag, s.MaxBody = "query-1", 30*time.Second, 1<<20
	s.AdminTLS.Token, s.AdminTLS.TokenFile = mark, "/etc/token"
	s.Password, s.Username, s.TokenURL = mark, "ada", "https://ada:"+mark+"@host/token?client_secret="+mark
	s.Brokers = []string{"kafka-1:9092", "kafka-2:9092"}
	s.Bootstrap = []string{"s3://ada:" + mark + "@bucket?region=eu-west-1&access_key=" + mark, "/backups", "http://%zz" + mark}
	got := diagnostics.Settings(s)
	for name, value := range got {
		if strings.Contains(value, mark) {
			t.Errorf("%s: got %q, want the secret hidden", name, value)
		}
	}
	for name, want := range map[string]string{
		"CLUSTERLITE_NODE_ID": "query-1", "CLUSTERLITE_READY_LAG": "30s", "CLUSTERLITE_MAX_BODY": "1MiB", "CLUSTERLITE_KAFKA_BROKERS": "kafka-1:9092,kafka-2:9092",
		"CLUSTERLITE_ADMIN_TOKEN": "(hidden)", "CLUSTERLITE_ADMIN_TOKEN_FILE": "/etc/token", "CLUSTERLITE_KAFKA_SASL_PASSWORD": "(hidden)", "CLUSTERLITE_KAFKA_SASL_USERNAME": "ada",
		"CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE": "",
	} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s: got %q, %t, want %q", name, value, there, want)
		}
	}
	if !strings.Contains(got["CLUSTERLITE_BOOTSTRAP"], "region=eu-west-1") || !strings.Contains(got["CLUSTERLITE_BOOTSTRAP"], "/backups") {
		t.Errorf("got %q, want the stores", got["CLUSTERLITE_BOOTSTRAP"])
	}
}
