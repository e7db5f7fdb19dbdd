// Package secrets_test gives every secret setting of every program a marked value, and searches
// all that the programs print, log and serve for it.
package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// mark is part of every secret. No output may contain it.
const mark = "MARKED-c0ffee"

// searched fails the test if a text contains a secret.
func searched(t *testing.T, what, text string) {
	t.Helper()
	if i := strings.Index(text, mark); i >= 0 {
		t.Errorf("%s: got a secret in %q, want it left out", what, text[max(0, i-200):min(len(text), i+len(mark)+50)])
	}
}

// file returns the name of a file with this content.
func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// pem returns a file that looks like a key, with a secret in it.
func pem(t *testing.T) string {
	t.Helper()
	return file(t, "-----BEGIN PRIVATE KEY-----\n"+mark+"\n-----END PRIVATE KEY-----\n")
}

// Settings with secrets, most of which no program can use. Each map is one configuration.
func configurations(t *testing.T) map[string]map[string]string {
	t.Helper()
	authority := cluster.NewAuthority(t, "authority")
	pair := authority.Issue(t, "server", time.Now().Add(time.Hour))
	sasl := func(mechanism string, more ...string) map[string]string {
		settings := map[string]string{"CLUSTERLITE_KAFKA_SASL_MECHANISM": mechanism, "CLUSTERLITE_KAFKA_SASL_USERNAME": "ada", "CLUSTERLITE_KAFKA_SASL_PASSWORD": mark}
		for i := 0; i < len(more); i += 2 {
			settings[more[i]] = more[i+1]
		}
		return settings
	}
	return map[string]map[string]string{
		"a short admin token":          {"CLUSTERLITE_ADMIN_TOKEN": mark[:13]},
		"a short admin token in file":  {"CLUSTERLITE_ADMIN_TOKEN_FILE": file(t, mark[:13])},
		"an admin token twice":         {"CLUSTERLITE_ADMIN_TOKEN": mark + "-token", "CLUSTERLITE_ADMIN_TOKEN_FILE": file(t, mark+"-other")},
		"PLAIN":                        sasl("PLAIN"),
		"SCRAM":                        sasl("SCRAM-SHA-512", "CLUSTERLITE_LOG_LEVEL", "debug"),
		"an unknown mechanism":         sasl("NONSENSE"),
		"no mechanism":                 sasl(""),
		"no token URL":                 sasl("OAUTHBEARER"),
		"a token URL without a server": sasl("OAUTHBEARER", "CLUSTERLITE_KAFKA_SASL_TOKEN_URL", "http://127.0.0.1:1/token", "CLUSTERLITE_LOG_LEVEL", "debug"),
		"a token URL with a password":  sasl("OAUTHBEARER", "CLUSTERLITE_KAFKA_SASL_TOKEN_URL", "http://ada:"+mark+"@127.0.0.1:1/token"),
		"a password twice":             sasl("PLAIN", "CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE", file(t, mark)),
		"a damaged key of the API":     {"CLUSTERLITE_TLS_CERT_FILE": pair.Cert, "CLUSTERLITE_TLS_KEY_FILE": pem(t)},
		"a damaged key of operators":   {"CLUSTERLITE_ADMIN_TLS_CERT_FILE": pair.Cert, "CLUSTERLITE_ADMIN_TLS_KEY_FILE": pem(t)},
		"a damaged key for brokers":    {"CLUSTERLITE_KAFKA_TLS": "true", "CLUSTERLITE_KAFKA_TLS_CERT_FILE": pair.Cert, "CLUSTERLITE_KAFKA_TLS_KEY_FILE": pem(t)},
		"a key as the certificate":     {"CLUSTERLITE_TLS_CERT_FILE": pem(t), "CLUSTERLITE_TLS_KEY_FILE": pair.Key},
		"a key set with a password":    {"CLUSTERLITE_AUTH_JWKS": "http://ada:" + mark + "@127.0.0.1:1/keys", "CLUSTERLITE_LOG_LEVEL": "debug"},
		"a bootstrap with a password":  {"CLUSTERLITE_BOOTSTRAP": "http://ada:" + mark + "@127.0.0.1:1", "CLUSTERLITE_LOG_LEVEL": "debug"},
		"a bucket with a password":     {"CLUSTERLITE_BOOTSTRAP": "s3://ada:" + mark + "@127.0.0.1:1/nothing", "CLUSTERLITE_LOG_LEVEL": "debug"},
		"an unknown kind of bucket":    {"CLUSTERLITE_BOOTSTRAP": "nonsense://ada:" + mark + "@127.0.0.1:1/nothing", "CLUSTERLITE_LOG_LEVEL": "debug"},
		"a collector with a password":  {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://ada:" + mark + "@127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=" + mark, "CLUSTERLITE_LOG_LEVEL": "debug"},
		"credentials of a bucket":      {"AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": mark, "AWS_SESSION_TOKEN": mark, "CLUSTERLITE_BOOTSTRAP": "s3://127.0.0.1:1/nothing", "CLUSTERLITE_LOG_LEVEL": "debug"},
	}
}

// observation is how long a program runs that does not end by itself. It only limits what the
// test sees.
const observation = 3 * time.Second

// output runs a program for a while and returns all that it prints.
func output(t *testing.T, settings map[string]string, binary, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), observation)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.WaitDelay = dir, observation
	cmd.Env = []string{"HOME=" + cmd.Dir, "PATH=" + os.Getenv("PATH")}
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		t.Error(err)
	}
	return string(out)
}

func TestNoProgramPrintsASecret(t *testing.T) {
	for name, secrets := range configurations(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var all sync.WaitGroup
			for _, command := range [][]string{
				{"clusterlite", "serve"}, {"clusterlite-command"}, {"clusterlite-query"},
				{"clusterlite", "status"}, {"clusterlite", "nodes"}, {"clusterlite", "snapshot", "list", "s3://127.0.0.1:1/nothing"}, {"clusterlite", "healthcheck"},
			} {
				settings := map[string]string{
					"CLUSTERLITE_HTTP_ADDR": "127.0.0.1:0", "CLUSTERLITE_ADMIN_ADDR": "127.0.0.1:0", "CLUSTERLITE_KAFKA_LISTEN": "127.0.0.1:0",
					"CLUSTERLITE_KAFKA_BROKERS": cluster.Address(t), "CLUSTERLITE_DATA_DIR": filepath.Join(t.TempDir(), "data"),
				}
				maps.Copy(settings, secrets)
				binary, dir := cluster.Binary(t, command[0]), t.TempDir()
				all.Go(func() { searched(t, strings.Join(command, " "), output(t, settings, binary, dir, command[1:]...)) })
			}
			all.Wait()
		})
	}
}

func TestHelpShowsNoSecret(t *testing.T) {
	settings := map[string]string{"CLUSTERLITE_ADMIN_TOKEN": mark + "-token", "CLUSTERLITE_KAFKA_SASL_PASSWORD": mark}
	for _, command := range [][]string{
		{"clusterlite"}, {"clusterlite-command"}, {"clusterlite-query"}, {"clusterlite", "serve"}, {"clusterlite", "status"}, {"clusterlite", "nodes"},
		{"clusterlite", "verify"}, {"clusterlite", "voids"}, {"clusterlite", "rebuild"}, {"clusterlite", "snapshot", "create"}, {"clusterlite", "replay"},
		{"clusterlite", "events", "tail"}, {"clusterlite", "import"}, {"clusterlite", "healthcheck"},
	} {
		out := output(t, settings, cluster.Binary(t, command[0]), t.TempDir(), slices.Concat(command[1:], []string{"--help"})...)
		if !strings.Contains(out, "--help") {
			t.Errorf("%v --help: got %q, want the help", command, out)
		}
		searched(t, strings.Join(command, " ")+" --help", out)
	}
}

// A running process keeps its secrets, and those of its clients, to itself.
func TestAProcessServesNoSecret(t *testing.T) {
	provider := cluster.NewIdentityProvider(t, nil)
	const token = mark + "-token-of-operators"
	p := cluster.ServeWith(t, map[string]string{
		"CLUSTERLITE_ADMIN_TOKEN": token, "CLUSTERLITE_LOG_LEVEL": "debug", "CLUSTERLITE_PPROF": "true",
		"CLUSTERLITE_AUTH_JWKS": provider.Keys, "CLUSTERLITE_AUTH_ISSUER": cluster.Issuer, "CLUSTERLITE_AUTH_AUDIENCE": cluster.Audience,
	})
	p.Start()
	p.AwaitReady()
	get := func(url, authorization string) {
		t.Helper()
		response, err := suite.Send(http.MethodGet, url, "", "Authorization: "+authorization)
		if err != nil {
			t.Fatal(err)
		}
		searched(t, url, string(response.Body)+fmt.Sprint(response.Header))
	}
	for _, path := range []string{"/status", "/metrics", "/readyz", "/voids", "/digests", "/rebuild", "/nothing", "/debug/pprof/cmdline", "/diagnostics/log", "/diagnostics/settings", "/diagnostics/goroutines"} {
		get(p.Admin+path, "Bearer "+token)
		get(p.Admin+path, "Bearer "+mark+"-wrong")
	}
	valid := provider.Token(t, "ada", nil)
	for _, path := range []string{"/users", "/users/nothing", "/nothing", "/openapi.json", "/docs", "/users?limit=x"} {
		get(p.URL+path, "Bearer "+mark)
		get(p.URL+path, "Basic "+mark)
		get(p.URL+path, "Bearer "+valid+mark)
		get(p.URL+path, "Bearer "+valid)
	}
	out := p.Output()
	searched(t, "the log", out)
	if signature := valid[strings.LastIndex(valid, ".")+1:]; strings.Contains(out, signature) {
		t.Error("the log: got the signature of a client's token, want it left out")
	}
}

// A support bundle holds no secret of the process, of its clients, or of the operator who collects it.
func TestASupportBundleHoldsNoSecret(t *testing.T) {
	provider := cluster.NewIdentityProvider(t, nil)
	authority := cluster.NewAuthority(t, "authority")
	pair := authority.Issue(t, "127.0.0.1", time.Now().Add(time.Hour))
	key, err := os.ReadFile(pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	const token = mark + "-token-of-operators"
	p := cluster.ServeWith(t, map[string]string{
		"CLUSTERLITE_ADMIN_TOKEN": token, "CLUSTERLITE_LOG_LEVEL": "debug", "CLUSTERLITE_BOOTSTRAP": "s3://ada:" + mark + "@127.0.0.1:1/nothing",
		"CLUSTERLITE_AUTH_JWKS": provider.Keys, "CLUSTERLITE_AUTH_ISSUER": cluster.Issuer, "CLUSTERLITE_AUTH_AUDIENCE": cluster.Audience,
		"OTEL_EXPORTER_OTLP_HEADERS": "authorization=" + mark, "AWS_SECRET_ACCESS_KEY": mark, "AWS_ACCESS_KEY_ID": "ada",
		"CLUSTERLITE_ADMIN_TLS_CERT_FILE": pair.Cert, "CLUSTERLITE_ADMIN_TLS_KEY_FILE": pair.Key, "CLUSTERLITE_ADMIN_TLS_CA_FILE": authority.File,
	})
	p.Start()
	valid := provider.Token(t, "ada", nil)
	for _, authorization := range []string{"Bearer " + mark, "Bearer " + valid} {
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // polling: until it listens
			_, err := suite.Send(http.MethodGet, p.URL+"/users?token="+mark[:6], "", "Authorization: "+authorization)
			if err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	bundle := filepath.Join(t.TempDir(), "bundle.tar.gz")
	cmd := exec.CommandContext(t.Context(), cluster.Binary(t, "clusterlite"), "support", "dump", "--file", bundle, "--kafka-brokers", cluster.Address(t),
		"--admin", "https://"+strings.TrimPrefix(strings.TrimPrefix(p.Admin, "https://"), "http://"))
	cmd.Env = []string{"CLUSTERLITE_ADMIN_TOKEN=" + token, "CLUSTERLITE_ADMIN_TLS_CA_FILE=" + authority.File, "CLUSTERLITE_KAFKA_SASL_MECHANISM=PLAIN", "CLUSTERLITE_KAFKA_SASL_USERNAME=ada", "CLUSTERLITE_KAFKA_SASL_PASSWORD=" + mark}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("support dump: %v\n%s", err, out)
	}
	searched(t, "what support dump prints", string(out))
	unpacked, err := exec.CommandContext(t.Context(), "tar", "xzOf", bundle).Output()
	if err != nil {
		t.Fatal(err)
	}
	text := string(unpacked)
	for _, want := range []string{"CLUSTERLITE_ADMIN_TOKEN", "goroutine profile", "listening", "clusterlite_position"} {
		if !strings.Contains(text, want) {
			t.Errorf("got a bundle without %q:\n%s\n%s", want, out, text[:min(len(text), 4000)])
		}
	}
	searched(t, "the bundle", text)
	for what, secret := range map[string]string{
		"the signature of a client's token": valid[strings.LastIndex(valid, ".")+1:], "the key of the listener": strings.Split(string(key), "\n")[1],
	} {
		if strings.Contains(text, secret) {
			t.Errorf("the bundle: got %s, want it left out", what)
		}
	}
}
