package subjects

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/clusterlite/clusterlite/bench/process"
)

// startNginx runs the shipped nginx.conf in front of the services at these URLs.
func startNginx(ctx context.Context, dir string, queries, commands []string) (*process.Process, string, error) {
	listen, err := process.FreeAddr()
	if err != nil {
		return nil, "", err
	}
	shipped, err := os.ReadFile("../nginx.conf")
	if err != nil {
		return nil, "", err
	}
	conf, err := siteConf(string(shipped), dir, listen, queries, commands)
	if err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, "", err
	}
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return nil, "", err
	}
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return nil, "", err
	}
	p, err := process.Launch(ctx, dir, "http://"+listen+"/openapi.json", nil, nginx, "-p", dir, "-c", path, "-g", "daemon off; master_process off;")
	return p, "http://" + listen, err
}

// siteConf returns the shipped nginx.conf with its site lines replaced.
func siteConf(conf, dir, listen string, queries, commands []string) (string, error) {
	servers := func(urls []string) string {
		var lines []string
		for _, url := range urls {
			lines = append(lines, "server "+strings.TrimPrefix(url, "http://")+"${2};")
		}
		return strings.Join(lines, " ")
	}
	for pattern, with := range map[string]string{
		`user nginx;`:                         ``,
		`pid [^;]*;`:                          `pid ` + dir + `/pid;`,
		`error_log [^;]*;`:                    `error_log stderr warn;`,
		`access_log [^;]*;`:                   `access_log ` + dir + `/access.log json; client_body_temp_path ` + dir + `; proxy_temp_path ` + dir + `; fastcgi_temp_path ` + dir + `; uwsgi_temp_path ` + dir + `; scgi_temp_path ` + dir + `;`,
		`resolver [^;]*;`:                     ``,
		`listen 80;`:                          `listen ` + listen + `;`,
		`server query:8082 resolve([^;]*);`:   servers(queries),
		`server command:8081 resolve([^;]*);`: servers(commands),
	} {
		line := regexp.MustCompile(`(?m)^(\s*)` + pattern + ` # \(site\)$`)
		if !line.MatchString(conf) {
			return "", fmt.Errorf("nginx.conf has no site line like %s", pattern)
		}
		conf = line.ReplaceAllString(conf, "${1}"+with)
	}
	return conf, nil
}
