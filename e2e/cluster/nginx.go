package cluster

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Nginx runs the shipped nginx.conf in front of the services at these URLs.
func Nginx(t testing.TB, queries, commands []string) *Process {
	t.Helper()
	return nginx(t, "http", func(conf string) string { return conf }, queries, commands)
}

// EncryptedNginx runs the shipped nginx.conf with TLS enabled for clients and for the services
// at these URLs, by the block of the guide. The pair is Nginx's certificate. The authority signs the
// certificates of the services, which are for localhost. The process redirects plain HTTP from the
// address in its Admin.
func EncryptedNginx(t testing.TB, pair Pair, authority *Authority, queries, commands []string) *Process {
	t.Helper()
	guide, plain := ReadGuide(t, "encrypt-the-listeners.md"), Address(t)
	p := nginx(t, "https", func(conf string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		guide.Run(t, dir, "#tls-upstream")
		changed, err := os.ReadFile(filepath.Join(dir, "nginx-tls.conf"))
		if err != nil {
			t.Fatal(err)
		}
		conf = string(changed)
		for _, change := range []struct{ from, to string }{
			{"http2 on; # needs nginx 1.25.1 or later", ""}, // Debian 12 ships nginx 1.22: see siteConf
			{"/etc/nginx/tls/tls.crt", pair.Cert},
			{"/etc/nginx/tls/tls.key", pair.Key},
			{"/etc/nginx/tls/ca.pem", authority.File},
			{"services.clusterlite.internal", "localhost"},
			{"listen 80;\n", "listen " + plain + ";\n"},
			{"listen 443 ssl;", ""},
		} {
			if !strings.Contains(conf, change.from) {
				t.Fatalf("got an nginx.conf without %q", change.from)
			}
			conf = strings.ReplaceAll(conf, change.from, change.to)
		}
		return conf
	}, queries, commands)
	p.Admin = "http://" + plain
	return p
}

// nginx applies a change to nginx.conf and runs it in front of the services at these URLs.
func nginx(t testing.TB, scheme string, change func(conf string) string, queries, commands []string) *Process {
	t.Helper()
	binary, err := exec.LookPath("nginx")
	if err != nil {
		t.Fatal("this test needs nginx: apt-get install nginx")
	}
	dir := t.TempDir()
	listen := Address(t)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(siteConf(t, dir, listen, scheme, change, queries, commands)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "-t", "-p", dir, "-c", path).CombinedOutput(); err != nil {
		t.Fatalf("nginx -t: %v\n%s", err, out)
	}
	p := newProcess(t, "nginx", binary, nil, "-p", dir, "-c", path, "-g", "daemon off; master_process off;")
	p.URL = scheme + "://" + listen
	p.Start()
	for end := time.Now().Add(readyWithin); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", listen)
		if err == nil {
			_ = c.Close()
			return p
		}
		if time.Now().After(end) || p.Exited() {
			t.Fatalf("nginx does not listen: %v", err)
		}
	}
}

// siteConf returns the shipped nginx.conf with its site lines replaced.
func siteConf(t testing.TB, dir, listen, scheme string, change func(string) string, queries, commands []string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(Root(t), "nginx.conf"))
	if err != nil {
		t.Fatal(err)
	}
	conf, encrypted := string(b), ""
	if scheme == "https" {
		encrypted = " ssl http2"
	}
	for pattern, with := range map[string]string{
		`user nginx;`:                         ``,
		`pid [^;]*;`:                          `pid ` + dir + `/pid;`,
		`error_log [^;]*;`:                    `error_log stderr warn;`,
		`access_log [^;]*;`:                   `access_log ` + dir + `/access.log json; client_body_temp_path ` + dir + `; proxy_temp_path ` + dir + `; fastcgi_temp_path ` + dir + `; uwsgi_temp_path ` + dir + `; scgi_temp_path ` + dir + `;`,
		`resolver [^;]*;`:                     ``,
		`listen 80;`:                          `listen ` + listen + encrypted + `;`,
		`server query:8082 resolve([^;]*);`:   servers(queries),
		`server command:8081 resolve([^;]*);`: servers(commands),
	} {
		line := regexp.MustCompile(`(?m)^(\s*)` + pattern + ` # \(site\)$`)
		if !line.MatchString(conf) {
			t.Fatalf("nginx.conf has no site line like %s", pattern)
		}
		conf = line.ReplaceAllString(conf, "${1}"+with)
	}
	conf = change(conf)
	if strings.Contains(conf, "; # (site)") {
		t.Fatal("nginx.conf has a site line that this test does not know")
	}
	return conf
}

func servers(urls []string) string {
	var lines []string
	for _, url := range urls {
		lines = append(lines, "server "+strings.TrimPrefix(strings.TrimPrefix(url, "http://"), "https://")+"${2};")
	}
	return strings.Join(lines, " ")
}
