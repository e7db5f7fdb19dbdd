package serve_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/clitest"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

func TestServeGreetsAndStops(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // the second run starts from the file
		ctx, stop := context.WithCancel(t.Context())
		out := clitest.NewGreeting()
		ran := make(chan error, 1)
		go func() { ran <- cli.Run(ctx, clitest.ServeArgs(dir), out, io.Discard) }()
		select {
		case <-out.Done:
		case err := <-ran:
			t.Fatalf("clusterlite serve ended: %v", err)
		case <-time.After(time.Minute):
			t.Fatal("clusterlite serve did not become ready within a minute")
		}
		said := out.String()
		if strings.Count(said, "\n  curl ") != 3 || !strings.Contains(said, dir) {
			t.Errorf("got the following output, want three examples and the folder:\n%s", said)
		}
		_, rest, _ := strings.Cut(said, "http://")
		address, _, _ := strings.Cut(rest, "\n")
		r, err := http.Get("http://" + address + "/users")
		if err != nil || r.StatusCode != 200 {
			t.Errorf("the printed address: got %v, want 200", err)
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
		if err := cli.Run(t.Context(), append(clitest.ServeArgs(t.TempDir()), flag), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), said) {
			t.Errorf("%s: got %v, want an error with %q", flag, err, said)
		}
	}
}

// Invalid settings of tracing are a usage error that names the variable.
func TestServeRefusesVariablesOfTracing(t *testing.T) {
	for name, value := range map[string]string{"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_ENDPOINT": "127.0.0.1:4318"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			dir := filepath.Join(t.TempDir(), "data")
			err := cli.Run(t.Context(), clitest.ServeArgs(dir), io.Discard, io.Discard)
			var usage *settings.UsageError
			if !errors.As(err, &usage) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v, want a usage error that names %s", err, name)
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("got a data folder after a usage error, want none")
			}
		})
	}
}

// The greeting shows URLs with https for listeners that are encrypted.
func TestTheGreetingShowsTheSchemeOfEachListener(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, private := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		cert: {Type: "CERTIFICATE", Bytes: server.Certificate().Raw}, private: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	api := clitest.Serve(t, t.TempDir(), "--tls-cert-file="+cert, "--tls-key-file="+private)
	admin := clitest.Serve(t, t.TempDir(), "--admin-tls-cert-file="+cert, "--admin-tls-key-file="+private)
	for url, scheme := range map[string]string{api.URL: "https", api.Admin: "http", admin.URL: "http", admin.Admin: "https"} {
		if !strings.HasPrefix(url, scheme+"://") {
			t.Errorf("got %s, want %s", url, scheme)
		}
	}
}
