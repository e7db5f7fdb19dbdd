package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/process/settings"
)

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"healthcheck", "--help"}, {"reindex", "--help"}, {"--version"}} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out, io.Discard); !errors.Is(err, settings.ErrHelp) || !strings.Contains(out.String(), "clusterlite") {
			t.Errorf("%v: %v\n%s", args, err, out.String())
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"dance"}, {"serve", "--max-body=9GiB"}, {"serve", "extra"}} {
		var usage *settings.UsageError
		if err := run(t.Context(), args, io.Discard, io.Discard); !errors.As(err, &usage) {
			t.Errorf("%v: got %v", args, err)
		}
	}
}

// greeting passes on what is written, and signals when the node has printed its greeting.
type greeting struct {
	bytes.Buffer
	done chan struct{}
}

func (g *greeting) Write(b []byte) (int, error) {
	defer close(g.done)
	return g.Buffer.Write(b)
}

func serveArgs(dir string) []string {
	return []string{"serve", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--kafka-listen=127.0.0.1:0", "--data-dir=" + dir}
}

func TestServeGreetsAndStops(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // the second time from the file
		ctx, stop := context.WithCancel(t.Context())
		out := &greeting{done: make(chan struct{})}
		ran := make(chan error, 1)
		go func() { ran <- run(ctx, serveArgs(dir), out, io.Discard) }()
		select {
		case <-out.done:
		case err := <-ran:
			t.Fatalf("it ended: %v", err)
		case <-time.After(time.Minute):
			t.Fatal("it did not become ready")
		}
		said := out.String()
		if strings.Count(said, "\n  curl ") != 3 || !strings.Contains(said, dir) {
			t.Errorf("got output:\n%s", said)
		}
		_, rest, _ := strings.Cut(said, "http://")
		address, _, _ := strings.Cut(rest, "\n")
		r, err := http.Get("http://" + address + "/users")
		if err != nil || r.StatusCode != 200 {
			t.Errorf("the address that it names does not serve: %v", err)
		} else {
			_ = r.Body.Close()
		}
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}
}

func TestServeReportsErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for flag, said := range map[string]string{
		"--http-addr=" + l.Addr().String():    l.Addr().String(),
		"--admin-addr=" + l.Addr().String():   l.Addr().String(),
		"--kafka-listen=" + l.Addr().String(): l.Addr().String(),
		"--data-dir=/dev/null/x":              "/dev/null/x",
		"--collections=/no/such/folder":       "/no/such/folder",
	} {
		if err := run(t.Context(), append(serveArgs(t.TempDir()), flag), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: got %v", flag, err)
		}
	}
}

// Tracing that can't work is a wrong call, and names the variable.
func TestServeRefusesVariablesOfTracing(t *testing.T) {
	for name, value := range map[string]string{"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			dir := filepath.Join(t.TempDir(), "data")
			err := run(t.Context(), serveArgs(dir), io.Discard, io.Discard)
			var usage *settings.UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want a usage error that names %s", err, name)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("it made the data folder")
			}
		})
	}
}

func TestHealthcheck(t *testing.T) {
	if err := run(t.Context(), []string{"healthcheck", "--admin-addr=127.0.0.1:1"}, io.Discard, io.Discard); err == nil {
		t.Error("nothing is healthy")
	}
}
