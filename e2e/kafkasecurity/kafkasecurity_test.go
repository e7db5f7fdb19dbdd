// Package kafkasecurity tests services and the operator's tool against a broker of Apache Kafka
// that requires TLS, credentials and permissions.
package kafkasecurity_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// guided is the user in the guide.
const guided = "clusterlite-query"

// passwords are the users' passwords: one user for each kind of program, the user in the guide, and one
// without permissions.
var passwords = map[string]string{"command": "command-secret", "query": "query-secret", "tool": "tool-secret", guided: "guided-secret", "stranger": "stranger-secret"}

// A rig is a broker together with the files and addresses that its clients need.
type rig struct {
	*cluster.SecureKafka
	authority, foreign *cluster.Authority
	tokens             *cluster.IdentityProvider
}

func newRig(t *testing.T) *rig {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv("CLUSTERLITE_E2E"), ","), "kafkasecurity") {
		t.Skip("CLUSTERLITE_E2E does not have kafkasecurity")
	}
	r := &rig{authority: cluster.NewAuthority(t, "authority"), foreign: cluster.NewAuthority(t, "another authority"), tokens: cluster.NewIdentityProvider(t, passwords)}
	r.SecureKafka = cluster.OnSecureKafka(t, cluster.SecureOptions{Authority: r.authority, Users: passwords, Keys: r.tokens.Keys, Audience: cluster.Audience})
	r.allow(t)
	return r
}

// allow grants the permissions that the guide to preparing Kafka lists, and nothing else.
func (r *rig) allow(t *testing.T) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.Open))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const topic, groups = "clusterlite.", "clusterlite."
	topicACLs := func(user string, operations ...kadm.ACLOperation) *kadm.ACLBuilder {
		return kadm.NewACLs().Allow("User:" + user).AllowHosts().Topics(topic).ResourcePatternType(kadm.ACLPatternPrefixed).Operations(operations...)
	}
	groupACLs := func(user string, operations ...kadm.ACLOperation) *kadm.ACLBuilder {
		return kadm.NewACLs().Allow("User:" + user).AllowHosts().Groups(groups).ResourcePatternType(kadm.ACLPatternPrefixed).Operations(operations...)
	}
	for _, acl := range []*kadm.ACLBuilder{
		topicACLs("command", kadm.OpCreate, kadm.OpDescribe, kadm.OpDescribeConfigs, kadm.OpRead, kadm.OpWrite),
		groupACLs("command", kadm.OpRead),
		topicACLs("query", kadm.OpDescribe, kadm.OpDescribeConfigs, kadm.OpRead, kadm.OpWrite),
		groupACLs("query", kadm.OpRead),
		topicACLs("tool", kadm.OpDescribe, kadm.OpDescribeConfigs, kadm.OpRead, kadm.OpWrite),
		groupACLs("tool", kadm.OpDescribe, kadm.OpRead, kadm.OpDelete),
		kadm.NewACLs().Allow("User:tool").AllowHosts().Clusters().ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpDescribe),
	} {
		results, err := kadm.NewClient(client).CreateACLs(t.Context(), acl)
		if err != nil {
			t.Fatal(err)
		}
		for _, result := range results {
			if result.Err != nil {
				t.Fatal(result.Err)
			}
		}
	}
}

// ways returns the settings that authenticate a user, by the way to authenticate.
func (r *rig) ways(t *testing.T) map[string]func(user string) map[string]string {
	t.Helper()
	secret := func(user string) string {
		path := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(path, []byte(passwords[user]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	sasl := func(mechanism string) func(string) map[string]string {
		return func(user string) map[string]string {
			return map[string]string{
				"CLUSTERLITE_KAFKA_BROKERS": r.SASL, "CLUSTERLITE_KAFKA_TLS": "true", "CLUSTERLITE_KAFKA_TLS_CA_FILE": r.authority.File,
				"CLUSTERLITE_KAFKA_SASL_MECHANISM": mechanism, "CLUSTERLITE_KAFKA_SASL_USERNAME": user, "CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE": secret(user),
			}
		}
	}
	return map[string]func(string) map[string]string{
		"PLAIN":         sasl("PLAIN"),
		"SCRAM-SHA-256": sasl("SCRAM-SHA-256"),
		"SCRAM-SHA-512": sasl("SCRAM-SHA-512"),
		"OAUTHBEARER": func(user string) map[string]string {
			return map[string]string{
				"CLUSTERLITE_KAFKA_BROKERS": r.OAuth, "CLUSTERLITE_KAFKA_SASL_MECHANISM": "OAUTHBEARER", "CLUSTERLITE_KAFKA_SASL_TOKEN_URL": r.tokens.URL,
				"CLUSTERLITE_KAFKA_SASL_USERNAME": user, "CLUSTERLITE_KAFKA_SASL_PASSWORD": passwords[user],
			}
		},
		// Go reads the authorities of the system from this file, if it is set.
		"SCRAM-SHA-256 by the authorities of the system": func(user string) map[string]string {
			settings := sasl("SCRAM-SHA-256")(user)
			delete(settings, "CLUSTERLITE_KAFKA_TLS_CA_FILE")
			settings["SSL_CERT_FILE"] = r.authority.File
			return settings
		},
		"client certificate": func(user string) map[string]string {
			pair := r.authority.Issue(t, user, time.Now().Add(time.Hour))
			return map[string]string{
				"CLUSTERLITE_KAFKA_BROKERS": r.Mutual, "CLUSTERLITE_KAFKA_TLS": "true", "CLUSTERLITE_KAFKA_TLS_CA_FILE": r.authority.File,
				"CLUSTERLITE_KAFKA_TLS_CERT_FILE": pair.Cert, "CLUSTERLITE_KAFKA_TLS_KEY_FILE": pair.Key,
			}
		},
	}
}

// TestKafkaSecurity writes through a command service and reads through a query service, each
// with the permissions that the documentation lists, by every way to authenticate.
func TestKafkaSecurity(t *testing.T) {
	r := newRig(t)
	for name, way := range r.ways(t) {
		t.Run(name, func(t *testing.T) {
			topic := "clusterlite." + strings.ToLower(strings.ReplaceAll(name, " ", "-"))
			settings := map[string]map[string]string{} // by user
			for _, user := range []string{"command", "query", "tool"} {
				settings[user] = way(user)
				settings[user]["CLUSTERLITE_KAFKA_TOPIC"] = topic
			}
			t.Parallel() // after way, which uses the parent test
			// The query service may not create the topic. It waits until the command service
			// has created it.
			query, command := cluster.Service(t, "query", "query-1", settings["query"]), cluster.Service(t, "command", "command-1", settings["command"])
			command.Start()
			command.AwaitReady()
			query.Start()
			query.AwaitReady()

			location := post(t, command.URL+"/users", `{"name":"Ada","email":"ada@example.com"}`)
			for _, consistency := range []string{"strong", "linearizable"} {
				if status := get(t, query.URL+location, consistency); status != http.StatusOK {
					t.Errorf("%s read: got %d, want 200", consistency, status)
				}
			}
			awaitReplication(t, query, command)
			awaitNodes(t, settings["tool"], 2)
			runTool(t, settings["tool"], "verify")
			for _, p := range []*cluster.Process{query, command} {
				if code := p.Stop(); code != 0 {
					t.Errorf("%s exited with %d, want 0", p.Name, code)
				}
				for _, secret := range passwords {
					if strings.Contains(p.Output(), secret) {
						t.Errorf("the output of %s contains a password, want none", p.Name)
					}
				}
			}
		})
	}
}

// TestGuideToASecuredKafka grants a query service the permissions of the guide, and starts it with the
// settings of each way to authenticate.
func TestGuideToASecuredKafka(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	pair := r.authority.Issue(t, guided, time.Now().Add(time.Hour))
	for name, from := range map[string]string{"kafka-ca.pem": r.authority.File, "kafka.crt": pair.Cert, "kafka.key": pair.Key} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"kafka-password", "client-secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(passwords[guided]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := cluster.ReadGuide(t, "connect-to-a-secured-kafka.md",
		"/etc/clusterlite", dir, "kafka-1:9092", r.Open,
		"kafka-1:9093,kafka-2:9093,kafka-3:9093", r.SASL, "https://login.example.com/oauth2/token", r.tokens.URL)
	command := cluster.Service(t, "command", "command-1", r.ways(t)["PLAIN"]("command"))
	command.Start()
	command.AwaitReady()
	location := post(t, command.URL+"/users", `{"name":"Ada","email":"ada@example.com"}`)
	libs := cmp.Or(os.Getenv("CLUSTERLITE_KAFKA_LIBS"), "/opt/kafka/libs")
	g.RunAfter(t, `kafka-acls.sh() { java -cp "`+libs+`/*" org.apache.kafka.tools.AclCommand "$@"; }`, dir, "kafka-acls.sh")

	encrypted := map[string]string{}
	g.Settings(t, encrypted, "KAFKA_BROKERS")
	for _, way := range []struct {
		text    string
		brokers string
		base    map[string]string
	}{
		{"SCRAM-SHA-512", r.SASL, encrypted},
		{"OAUTHBEARER", r.OAuth, nil},
		{"KAFKA_TLS_CERT_FILE", r.Mutual, encrypted},
	} {
		settings := map[string]string{}
		maps.Copy(settings, way.base)
		g.Settings(t, settings, way.text)
		settings["CLUSTERLITE_KAFKA_BROKERS"] = way.brokers
		query := cluster.Service(t, "query", "query-1", settings)
		query.Start()
		query.AwaitReady()
		for _, consistency := range []string{"strong", "linearizable"} {
			if status := get(t, query.URL+location, consistency); status != http.StatusOK {
				t.Errorf("%s, %s read: got %d, want 200", way.text, consistency, status)
			}
		}
		if code := query.Stop(); code != 0 {
			t.Errorf("%s: exited with %d, want 0", way.text, code)
		}
	}
	g.Complete(t)
}

// TestKafkaRefusesAccess starts a service and the tool with settings that the broker rejects,
// or that they must reject themselves. Both end with an error that says what to change.
func TestKafkaRefusesAccess(t *testing.T) {
	r := newRig(t)
	ways := r.ways(t)
	changed := func(way string, changes map[string]string) map[string]string {
		settings := ways[way]("command")
		for name, value := range changes {
			settings[name] = value
		}
		return settings
	}
	foreignCA := map[string]string{"CLUSTERLITE_KAFKA_TLS_CA_FILE": r.foreign.File}
	wrongPassword := map[string]string{"CLUSTERLITE_KAFKA_SASL_PASSWORD": "wrong", "CLUSTERLITE_KAFKA_SASL_PASSWORD_FILE": ""}
	foreign := r.foreign.Issue(t, "command", time.Now().Add(time.Hour))
	old := r.authority.Issue(t, "command", time.Now().Add(-time.Minute))
	for name, c := range map[string]struct {
		settings map[string]string
		want     []string
	}{
		"wrong password, PLAIN":         {changed("PLAIN", wrongPassword), []string{"rejected the credentials", "CLUSTERLITE_KAFKA_SASL_PASSWORD"}},
		"wrong password, SCRAM-SHA-256": {changed("SCRAM-SHA-256", wrongPassword), []string{"rejected the credentials", "CLUSTERLITE_KAFKA_SASL_PASSWORD"}},
		"wrong password, SCRAM-SHA-512": {changed("SCRAM-SHA-512", wrongPassword), []string{"rejected the credentials", "CLUSTERLITE_KAFKA_SASL_PASSWORD"}},
		"wrong secret, OAUTHBEARER":     {changed("OAUTHBEARER", wrongPassword), []string{"token endpoint rejected", "CLUSTERLITE_KAFKA_SASL_PASSWORD"}},
		"mechanism not offered":         {changed("OAUTHBEARER", map[string]string{"CLUSTERLITE_KAFKA_BROKERS": r.SASL, "CLUSTERLITE_KAFKA_TLS": "true", "CLUSTERLITE_KAFKA_TLS_CA_FILE": r.authority.File}), []string{"does not offer", "CLUSTERLITE_KAFKA_SASL_MECHANISM"}},
		"untrusted broker":              {changed("PLAIN", foreignCA), []string{"not signed by a trusted authority", "CLUSTERLITE_KAFKA_TLS_CA_FILE"}},
		"expired broker":                {changed("client certificate", map[string]string{"CLUSTERLITE_KAFKA_BROKERS": r.Expired}), []string{"has expired", "Renew"}},
		"no client certificate":         {changed("client certificate", map[string]string{"CLUSTERLITE_KAFKA_TLS_CERT_FILE": "", "CLUSTERLITE_KAFKA_TLS_KEY_FILE": ""}), []string{"rejected the client certificate", "CLUSTERLITE_KAFKA_TLS_CERT_FILE"}},
		"untrusted client":              {changed("client certificate", map[string]string{"CLUSTERLITE_KAFKA_TLS_CERT_FILE": foreign.Cert, "CLUSTERLITE_KAFKA_TLS_KEY_FILE": foreign.Key}), []string{"rejected the client certificate", "CLUSTERLITE_KAFKA_TLS_CERT_FILE"}},
		"expired client":                {changed("client certificate", map[string]string{"CLUSTERLITE_KAFKA_TLS_CERT_FILE": old.Cert, "CLUSTERLITE_KAFKA_TLS_KEY_FILE": old.Key}), []string{"rejected the client certificate", "CLUSTERLITE_KAFKA_TLS_CERT_FILE"}},
		"no permission":                 {ways["PLAIN"]("stranger"), []string{"may not access the topic", "DESCRIBE"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := cluster.Service(t, "command", "command-1", c.settings)
			p.Start()
			if code := p.AwaitExit(); code == 0 {
				t.Error("the service: got exit code 0, want an error")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			tool := toolCommand(ctx, t, c.settings, "events", "tail", "--from", "0")
			said, err := tool.CombinedOutput()
			if err == nil {
				t.Error("the tool: got exit code 0, want an error")
			}
			for who, text := range map[string]string{"the service": p.Output(), "the tool": string(said)} {
				for _, want := range c.want {
					if !strings.Contains(text, want) {
						t.Errorf("%s: got %q, want something about %q", who, text, want)
					}
				}
			}
		})
	}
}

// TestTLSToPlaintextListener shows the error for a setting that can't be distinguished from a
// broker that is still starting. The service waits, and the tool ends.
func TestTLSToPlaintextListener(t *testing.T) {
	r := newRig(t)
	settings := r.ways(t)["client certificate"]("command")
	settings["CLUSTERLITE_KAFKA_BROKERS"] = r.Open
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := toolCommand(ctx, t, settings, "events", "tail", "--from", "0").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "speak TLS") {
		t.Errorf("got %v, %s; want an error about TLS", err, out)
	}
}

// awaitNodes waits until the tool finds so many nodes: they announce themselves every few seconds.
func awaitNodes(t *testing.T, settings map[string]string, want int) {
	t.Helper()
	var report struct {
		Nodes []struct{ Name string }
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		out := runTool(t, settings, "nodes", "list", "--output", "json")
		if err := json.Unmarshal(out, &report); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if len(report.Nodes) == want {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("got %d nodes, want %d:\n%s", len(report.Nodes), want, out)
		}
	}
	runTool(t, settings, "status")
}

// awaitReplication waits until services know how the topic is replicated, for which they have no
// permission but those on the topic.
func awaitReplication(t *testing.T, services ...*cluster.Process) {
	t.Helper()
	for _, p := range services {
		for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			r, err := http.Get(p.Admin + "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			metrics, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(metrics, []byte("\nclusterlite_topic_in_sync_replicas 1\n")) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: got no clusterlite_topic_in_sync_replicas of 1 in time, want it", p.Name)
			}
		}
	}
}

func post(t *testing.T, url, body string) (location string) {
	t.Helper()
	response, err := suite.Send(http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if response.Status != http.StatusCreated {
		t.Fatalf("POST %s: got %d, want 201", url, response.Status)
	}
	return response.Header.Get("Location")
}

func get(t *testing.T, url, consistency string) int {
	t.Helper()
	response, err := suite.Send(http.MethodGet, url, "", "Clusterlite-Consistency: "+consistency)
	if err != nil {
		t.Fatal(err)
	}
	return response.Status
}

func toolCommand(ctx context.Context, t *testing.T, settings map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, cluster.Binary(t, "clusterlite"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	return cmd
}

func runTool(t *testing.T, settings map[string]string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := toolCommand(ctx, t, settings, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Errorf("clusterlite %s: got %v, want success\n%s%s", strings.Join(args, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes()
}
