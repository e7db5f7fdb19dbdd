package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// SecureKafka is one broker of Apache Kafka with an authorizer that denies everything that no
// ACL allows. It has a listener for each way to authenticate. All addresses are on this host.
type SecureKafka struct {
	// Open accepts plaintext connections without credentials. Its users may do everything.
	Open string
	// SASL is encrypted and accepts PLAIN and SCRAM.
	SASL string
	// OAuth accepts OAUTHBEARER, in plaintext.
	OAuth string
	// Mutual is encrypted and requires a client certificate, whose name is the user.
	Mutual string
	// Expired is encrypted, with a certificate that has expired.
	Expired string
}

// SecureOptions define whom a [SecureKafka] trusts.
type SecureOptions struct {
	// Authority signs the certificates of the broker and of its clients.
	Authority *Authority
	// Users are the names and passwords for PLAIN and SCRAM.
	Users map[string]string
	// Keys is the URL of the keys (JWKS) that sign access tokens. Audience is the audience of
	// the tokens.
	Keys, Audience string
}

// OnSecureKafka starts such a broker. It uses the jars in CLUSTERLITE_KAFKA_LIBS.
func OnSecureKafka(t testing.TB, o SecureOptions) *SecureKafka {
	t.Helper()
	libs := os.Getenv("CLUSTERLITE_KAFKA_LIBS")
	if libs == "" {
		libs = "/opt/kafka/libs"
	}
	if _, err := os.Stat(libs); err != nil {
		t.Fatalf("this test needs the jars of Apache Kafka, see e2e/README.md: %v", err)
	}
	dir := t.TempDir()
	k := &SecureKafka{Open: Address(t), SASL: Address(t), OAuth: Address(t), Mutual: Address(t), Expired: Address(t)}
	properties := filepath.Join(dir, "broker.properties")
	if err := os.WriteFile(properties, []byte(k.properties(t, o, dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	format := []string{"-cp", libs + "/*", "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw", "-c", properties}
	for user, password := range o.Users {
		for _, mechanism := range []string{"SCRAM-SHA-256", "SCRAM-SHA-512"} {
			format = append(format, "--add-scram", fmt.Sprintf("%s=[name=%s,password=%s]", mechanism, user, password))
		}
	}
	if out, err := exec.CommandContext(t.Context(), "java", format...).CombinedOutput(); err != nil {
		t.Fatalf("format the broker's folder: %v\n%s", err, out)
	}
	k.start(t, libs, dir, properties, o)
	return k
}

func (k *SecureKafka) start(t testing.TB, libs, dir, properties string, o SecureOptions) {
	t.Helper()
	output := filepath.Join(dir, "broker.log")
	out, err := os.Create(output)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = out.Close() }()
	broker := exec.Command("java", "-Xmx400m", "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="+o.Keys, "-cp", libs+"/*", "kafka.Kafka", properties)
	broker.Stdout, broker.Stderr = out, out
	broker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = broker.Process.Kill()
		_ = broker.Wait()
		if log, err := os.ReadFile(output); t.Failed() && err == nil {
			t.Logf("the end of the broker's log:\n%s", log[max(0, len(log)-4000):])
		}
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Open))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for end := time.Now().Add(readyWithin); client.Ping(t.Context()) != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("got no answer from the broker")
		}
	}
}

func (k *SecureKafka) properties(t testing.TB, o SecureOptions, dir string) string {
	t.Helper()
	controller := Address(t)
	certificate, expired := o.Authority.Issue(t, "broker", time.Now().Add(time.Hour)), o.Authority.Issue(t, "broker", time.Now().Add(-time.Hour))
	var plain strings.Builder
	for user, password := range o.Users {
		fmt.Fprintf(&plain, " user_%s=%q", user, password)
	}
	tls := func(listener, keys string) string {
		return fmt.Sprintf(`listener.name.%[1]s.ssl.keystore.type=PEM
listener.name.%[1]s.ssl.keystore.location=%[2]s
listener.name.%[1]s.ssl.truststore.type=PEM
listener.name.%[1]s.ssl.truststore.location=%[3]s
`, listener, keys, o.Authority.File)
	}
	return strings.NewReplacer("OPEN_ADDR", k.Open, "SASL_ADDR", k.SASL, "OAUTH_ADDR", k.OAuth, "MUTUAL_ADDR", k.Mutual, "EXPIRED_ADDR", k.Expired,
		"CONTROLLER_ADDR", controller, "DATA", filepath.Join(dir, "data"), "USERS", plain.String(), "KEYS", o.Keys, "AUDIENCE", o.Audience,
	).Replace(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@CONTROLLER_ADDR
controller.listener.names=CONTROLLER
listeners=CONTROLLER://CONTROLLER_ADDR,OPEN://OPEN_ADDR,SASL://SASL_ADDR,OAUTH://OAUTH_ADDR,MUTUAL://MUTUAL_ADDR,EXPIRED://EXPIRED_ADDR
advertised.listeners=OPEN://OPEN_ADDR,SASL://SASL_ADDR,OAUTH://OAUTH_ADDR,MUTUAL://MUTUAL_ADDR,EXPIRED://EXPIRED_ADDR
inter.broker.listener.name=OPEN
listener.security.protocol.map=CONTROLLER:PLAINTEXT,OPEN:PLAINTEXT,SASL:SASL_SSL,OAUTH:SASL_PLAINTEXT,MUTUAL:SSL,EXPIRED:SSL
log.dirs=DATA
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
offsets.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule requiredUSERS;
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;
listener.name.oauth.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler
listener.name.oauth.oauthbearer.sasl.oauthbearer.jwks.endpoint.url=KEYS
listener.name.oauth.oauthbearer.sasl.oauthbearer.expected.audience=AUDIENCE
listener.name.mutual.ssl.client.auth=required
listener.name.mutual.ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/
`) + tls("sasl", certificate.Both) + tls("mutual", certificate.Both) + tls("expired", expired.Both)
}
