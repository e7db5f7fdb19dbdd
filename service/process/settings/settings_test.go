package settings_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/service/process/settings"
)

type grammar struct {
	settings.Node   `embed:""`
	settings.Kafka  `embed:""`
	settings.Listen `embed:""`
	settings.HTTP   `embed:""`
	settings.Reads  `embed:""`
	settings.Writes `embed:""`
}

func parse(t *testing.T, args ...string) (g grammar, stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	_, err = settings.Program{Name: "test", Help: "A test.", HTTPAddr: ":8080", AdminAddr: "127.0.0.1:9080", Version: "v0"}.Parse(&g, args, &out, &errs)
	return g, out.String(), errs.String(), err
}

func TestDefaults(t *testing.T) {
	g, _, _, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if g.HTTPAddr != ":8080" || g.AdminAddr != "127.0.0.1:9080" || g.DataDir != "./clusterlite-data" || g.Brokers[0] != "127.0.0.1:19092" ||
		g.Topic.Topic != "clusterlite.events" || g.KafkaListen != "127.0.0.1:19092" || g.Collections != "" || g.Consistency != "strong" ||
		g.Reads.Wait != 2*time.Second || g.Writes.Wait != 10*time.Second || g.MaxBody != 1<<20 || g.MaxConnections != 4096 || g.MaxRequests != 512 || g.RequestMemory != 256<<20 || g.CORSOrigins[0] != "*" || !g.Compress || g.CORSAllowHeaders != nil || g.CORSExposeHeaders != nil ||
		g.LogFormat != "text" || g.LogLevel != "info" || g.ReadyLag != 30*time.Second || !g.SelfRepair || g.Scrub != 24*time.Hour || g.Journal != "on" {
		t.Errorf("got %+v, want the defaults", g)
	}
	if err := g.SetDefaults("query"); err != nil || !strings.HasSuffix(g.NodeID, "-query") {
		t.Errorf("got node %q, %v, want a name that ends in -query", g.NodeID, err)
	}
}

func TestVariables(t *testing.T) {
	for name, value := range map[string]string{
		"NODE_ID": "n-1", "HTTP_ADDR": "127.0.0.1:1", "ADMIN_ADDR": "127.0.0.1:2", "DATA_DIR": "/d", "KAFKA_BROKERS": "a:1,b:2", "KAFKA_TOPIC": "t",
		"KAFKA_LISTEN": "127.0.0.1:3", "COLLECTIONS": "/c", "READ_CONSISTENCY": "eventual", "READ_WAIT": "3s", "WRITE_WAIT": "4s", "MAX_BODY": "2MiB",
		"ADMIN_ADVERTISE": "node.example:2", "COMPRESS": "false", "CORS_ALLOW_HEADERS": "X-Tenant,X-Api-Key", "CORS_EXPOSE_HEADERS": "RateLimit", "CORS_ORIGINS": "https://a.example,http://b.example:8080", "MAX_CONNECTIONS": "7", "MAX_REQUESTS": "8", "REQUEST_MEMORY": "1GiB", "CACHE_MEMORY": "32MiB", "LOG_FORMAT": "json", "LOG_LEVEL": "debug", "READY_LAG": "5s",
		"SELF_REPAIR": "false", "SCRUB_INTERVAL": "1h",
	} {
		t.Setenv("CLUSTERLITE_"+name, value)
	}
	g, _, stderr, err := parse(t, "--read-wait", "7s") // a flag overrides its variable
	if err != nil || stderr != "" {
		t.Fatal(err, stderr)
	}
	if g.NodeID != "n-1" || g.HTTPAddr != "127.0.0.1:1" || g.AdminAddr != "127.0.0.1:2" || g.DataDir != "/d" || len(g.Brokers) != 2 || g.Topic.Topic != "t" ||
		g.KafkaListen != "127.0.0.1:3" || g.Collections != "/c" || g.Consistency != "eventual" || g.Reads.Wait != 7*time.Second || g.Writes.Wait != 4*time.Second ||
		g.MaxBody != 2<<20 || len(g.CORSOrigins) != 2 || g.Compress || len(g.CORSAllowHeaders) != 2 || len(g.CORSExposeHeaders) != 1 || g.LogFormat != "json" || g.LogLevel != "debug" || g.ReadyLag != 5*time.Second || g.AdminAdvertise != "node.example:2" || g.MaxConnections != 7 || g.MaxRequests != 8 || g.RequestMemory != 1<<30 || g.CacheMemory != 32<<20 ||
		g.SelfRepair || g.Scrub != time.Hour {
		t.Errorf("got %+v, want the values of the variables and of the flag", g)
	}
}

func TestRateLimits(t *testing.T) {
	g, _, _, err := parse(t)
	if err != nil || g.Rates.Limited() {
		t.Errorf("got %+v, %v; want no limit by default", g.Rates, err)
	}
	g, _, _, err = parse(t, "--rate-limit-anonymous=10/s", "--rate-limit-caller=300/m", "--rate-limit-roles=importer=5000/h,admin=off,a=b=1/s", "--trusted-proxies=10.0.0.0/8,::1")
	r := g.Rates
	if err != nil || r.Anonymous != (settings.Rate{Requests: 10, Per: time.Second}) || r.Callers != (settings.Rate{Requests: 300, Per: time.Minute}) ||
		len(r.Roles) != 3 || r.Roles["importer"] != (settings.Rate{Requests: 5000, Per: time.Hour}) || r.Roles["admin"] != (settings.Rate{}) || r.Roles["a=b"].Requests != 1 ||
		len(r.Proxies) != 2 || !r.Limited() {
		t.Errorf("got %+v, %v; want the rates of the flags", r, err)
	}
}

func TestBadValuesAreRejectedByName(t *testing.T) {
	for _, bad := range [][2]string{
		{"node-id", "a b"}, {"node-id", strings.Repeat("x", 101)}, {"http-addr", "8080"}, {"http-addr", ":99999"}, {"admin-addr", "x"}, {"admin-advertise", "x"}, {"data-dir", ""},
		{"kafka-brokers", "a"}, {"kafka-brokers", "a:1,b"}, {"kafka-topic", "a b"}, {"kafka-topic", ".."}, {"kafka-listen", "x"},
		{"read-consistency", "perfect"}, {"read-wait", "0s"}, {"read-wait", "2"}, {"read-wait", "2m"}, {"write-wait", "-1s"}, {"ready-lag", "0s"},
		{"max-connections", "0"}, {"max-connections", "-1"}, {"max-requests", "0"}, {"max-requests", "100000"}, {"request-memory", "63MiB"},
		{"max-body", "1"}, {"max-body", "4MiB"}, {"max-body", "x"}, {"max-body", "1.5MiB"}, {"max-body", "99999999999999999999GiB"},
		{"cors-origins", "a.example"}, {"cors-origins", "https://a.example/"}, {"cors-origins", "*,https://a.example"}, {"cors-origins", "null"}, {"cors-allow-headers", "X Y"}, {"cors-allow-headers", "*"}, {"cors-expose-headers", "a:b"}, {"compress", "perhaps"},
		{"log-format", "xml"}, {"log-level", "loud"},
		{"rate-limit-anonymous", "10"}, {"rate-limit-anonymous", "0/s"}, {"rate-limit-caller", "10/d"}, {"rate-limit-caller", "-1/s"}, {"rate-limit-roles", "editor"}, {"rate-limit-roles", "=1/s"},
		{"rate-limit-roles", "a=1/s,a=2/s"}, {"rate-limit-roles", "a=1/s,"}, {"trusted-proxies", "proxy"}, {"trusted-proxies", "10.0.0.0/99"}, {"trusted-proxies", "10.0.0.1:80"},
		{"auth-roles-claim", ""}, {"auth-roles-claim", " roles"}, {"auth-roles-claim", strings.Repeat("x", 257)},
	} {
		_, _, _, err := parse(t, "--"+bad[0]+"="+bad[1])
		var usage *settings.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), bad[0]) {
			t.Errorf("--%s=%s: got %v, want a usage error that names the flag", bad[0], bad[1], err)
		}
	}
	if _, _, _, err := parse(t, "--nonsense"); err == nil {
		t.Error("got no error for an unknown flag, want one")
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	_, help, _, err := parse(t, "--help")
	if !errors.Is(err, settings.ErrHelp) {
		t.Fatal(err)
	}
	for _, flag := range []string{"node-id", "http-addr", "admin-addr", "data-dir", "kafka-brokers", "kafka-topic", "kafka-listen", "collections", "read-consistency",
		"read-wait", "write-wait", "max-body", "max-connections", "max-requests", "request-memory", "compress", "cors-origins", "cors-allow-headers", "cors-expose-headers", "log-format", "log-level", "ready-lag", "admin-advertise"} {
		variable := "CLUSTERLITE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
		if !strings.Contains(help, "--"+flag) || !strings.Contains(help, "$"+variable) {
			t.Errorf("got --help without --%s or %s, want both:\n%s", flag, variable, help)
		}
	}
	for _, value := range []string{"(default 2s)", "(default 10s)", "(default 1MiB)", "(default clusterlite.events)", "(default 127.0.0.1:9080)"} {
		if !strings.Contains(strings.Join(strings.Fields(help), " "), value) {
			t.Errorf("got --help without %q, want it", value)
		}
	}
}

// A misspelt variable must not silently leave a setting at its default.
func TestUnknownVariablesAreReported(t *testing.T) {
	t.Setenv("CLUSTERLITE_REED_WAIT", "9s")
	t.Setenv("CLUSTERLITE_PORT", "80")
	t.Setenv("CLUSTERLITE_KAFKA_LISTEN", "127.0.0.1:1") // read by another program
	_, _, stderr, err := parse(t)
	if err != nil || strings.Count(stderr, "CLUSTERLITE_") != 1 || !strings.Contains(stderr, "CLUSTERLITE_REED_WAIT") {
		t.Errorf("got %q, %v, want one warning, for CLUSTERLITE_REED_WAIT", stderr, err)
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]settings.ByteSize{"0": 0, "17": 17, "17B": 17, "3KiB": 3072, "1MiB": 1 << 20, "2GiB": 2 << 30} {
		var b settings.ByteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s: got %d, %v, want %d", text, b, err, want)
		}
	}
	for b, text := range map[settings.ByteSize]string{0: "0B", 17: "17B", 1 << 20: "1MiB", 1<<20 + 1024: "1025KiB", 3 << 30: "3GiB"} {
		if b.String() != text {
			t.Errorf("%d: got %s, want %s", b, b, text)
		}
	}
}
