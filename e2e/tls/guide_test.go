package tls_test

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// The settings and commands of the guide encrypt both listeners, and the tool reaches them.
func TestGuideToEncryption(t *testing.T) {
	dir, authority, kafka := t.TempDir(), cluster.NewAuthority(t, "authority"), cluster.Address(t)
	pair := authority.Issue(t, "server", time.Now().Add(time.Hour))
	g := cluster.ReadGuide(t, "encrypt-the-listeners.md", "/etc/clusterlite", dir)
	for name, from := range map[string]string{"api.crt": pair.Cert, "api.key": pair.Key, "admin.crt": pair.Cert, "admin.key": pair.Key, "ca.pem": authority.File} {
		content, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "admin-token"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{"CLUSTERLITE_KAFKA_LISTEN": kafka}
	g.Settings(t, settings, "CLUSTERLITE_TLS_CERT_FILE")
	g.Settings(t, settings, "CLUSTERLITE_ADMIN_TLS_CERT_FILE")
	r := &rig{Process: cluster.Encrypted(t, maps.Clone(settings)), authority: authority, dir: dir, kafka: kafka}
	r.Start()
	r.await(t)
	response, err := r.client(t, nil).Get(r.URL + "/users")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("got %d, want 200", response.StatusCode)
	}
	if out := g.Run(t, dir, "clusterlite status", "CLUSTERLITE_KAFKA_BROKERS="+kafka); !strings.Contains(out, "ready") {
		t.Errorf("got %s, want the node", out)
	}

	// Nginx with TLS towards clients alone. TestNginxIsEncrypted runs the block for both sides.
	conf, err := os.ReadFile(filepath.Join(cluster.Root(t), "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), conf, 0o600); err != nil {
		t.Fatal(err)
	}
	g.Run(t, dir, "sed")
	changed, err := os.ReadFile(filepath.Join(dir, "nginx-tls.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if text := string(changed); strings.Contains(text, "#tls ") || !strings.Contains(text, "#tls-upstream ") || !strings.Contains(text, "listen 443 ssl;") || strings.Contains(text, "listen 80; # (site)") {
		t.Errorf("got\n%s\nwant TLS for clients alone", text)
	}
	g.Complete(t, "#tls-upstream")
}
