package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	pocketBaseName         = "PocketBase 0.36.0"
	pocketBaseUnsyncedName = "PocketBase 0.36.0, unsynced"
	pocketBaseModule       = "github.com/pocketbase/pocketbase@v0.36.0"
)

// pocketBase is PocketBase's example program. By default it does not sync each write to the
// disk (synchronous=NORMAL). The durable variant is built with synchronous=FULL and no other
// change.
type pocketBase struct {
	program string
	durable bool
	url     string
	ids     []string
}

func (s *pocketBase) name() string {
	if s.durable {
		return pocketBaseName
	}
	return pocketBaseUnsyncedName
}

// durablePocketBase builds PocketBase with synced writes.
func (b *bench) durablePocketBase(ctx context.Context) (string, error) {
	dir, err := moduleDir(ctx, pocketBaseModule)
	if err != nil {
		return "", err
	}
	// Build a copy: Go refuses to build a module's folder that has a changed file.
	changed := filepath.Join(b.dir, "pocketbase")
	if _, err := os.Stat(changed); err != nil {
		if err := os.CopyFS(changed, os.DirFS(dir)); err != nil {
			return "", err
		}
	}
	const as, want = "synchronous(NORMAL)", "synchronous(FULL)"
	source := filepath.Join(changed, "core", "db_connect.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), as) + strings.Count(string(text), want); n != 1 {
		return "", fmt.Errorf("%s sets synchronous %d times, want once", source, n)
	}
	if err := os.WriteFile(source, []byte(strings.Replace(string(text), as, want, 1)), 0o600); err != nil {
		return "", err
	}
	return b.buildOnce(ctx, changed, "./examples/base")
}

func (s *pocketBase) base() string { return s.url }

func (s *pocketBase) start(ctx context.Context, dir string) (running, error) {
	const email, password = "bench@example.com", "bench-bench-bench"
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s.url = "http://" + addr
	data := dir + "/data"
	if out, err := exec.CommandContext(ctx, s.program, "superuser", "upsert", email, password, "--dir", data).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make PocketBase's superuser: %w\n%s", err, out)
	}
	p, err := launch(ctx, dir, s.url+"/api/health", nil, s.program, "serve", "--http", addr, "--dir", data)
	if err != nil {
		return nil, err
	}
	if err := s.declare(ctx, email, password); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// declare creates a collection that every client may read and write.
func (s *pocketBase) declare(ctx context.Context, email, password string) error {
	var login struct{ Token string }
	body := fmt.Sprintf(`{"identity":%q,"password":%q}`, email, password)
	if err := sendJSON(ctx, http.MethodPost, s.url+"/api/collections/_superusers/auth-with-password", "application/json", []byte(body), &login); err != nil {
		return fmt.Errorf("log in to PocketBase: %w", err)
	}
	const collection = `{"name":"people","type":"base","listRule":"","viewRule":"","createRule":"","updateRule":"","deleteRule":"",
		"fields":[{"name":"name","type":"text","required":true},{"name":"email","type":"text","required":true}],
		"indexes":["CREATE UNIQUE INDEX people_email ON people (email COLLATE NOCASE)"]}`
	if err := sendJSON(ctx, http.MethodPost, s.url+"/api/collections", "application/json", []byte(collection), nil, "Authorization", login.Token); err != nil {
		return fmt.Errorf("make PocketBase's collection: %w", err)
	}
	return nil
}

func (s *pocketBase) fill(ctx context.Context, entities int) error {
	s.ids = nil
	for n := range min(entities, 2000) { // one by one, because there is no import
		name, email := person(n)
		body, err := json.Marshal(map[string]string{"name": name, "email": email})
		if err != nil {
			return err
		}
		var made struct{ ID string }
		if err := sendJSON(ctx, http.MethodPost, s.url+"/api/collections/people/records", "application/json", body, &made); err != nil {
			return err
		}
		s.ids = append(s.ids, made.ID)
	}
	return nil
}

func (s *pocketBase) load(w workload) (load, bool) {
	const records = "/api/collections/people/records"
	switch w {
	case getEventual:
		return load{method: http.MethodGet, targets: paths(records+"/%s", s.ids)}, true
	case listEventual:
		return load{method: http.MethodGet, targets: []string{records + "?perPage=20&skipTotal=true"}}, true
	case create:
		name, _ := person(0)
		return load{method: http.MethodPost, contentType: "application/json", targets: []string{records},
			body: fmt.Sprintf(`{"name":%q,"email":"person-{n}@example.com"}`, name)}, true
	}
	return load{}, false
}
