package subjects

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
)

// Names of the variants of PocketBase in the report.
const (
	PocketBaseName         = "PocketBase 0.36.0"
	PocketBaseUnsyncedName = "PocketBase 0.36.0, unsynced"
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

func (s *pocketBase) Name() string {
	if s.durable {
		return PocketBaseName
	}
	return PocketBaseUnsyncedName
}

// durablePocketBase builds PocketBase with synced writes.
func durablePocketBase(ctx context.Context, programs *process.Programs) (string, error) {
	dir, err := process.ModuleDir(ctx, pocketBaseModule)
	if err != nil {
		return "", err
	}
	// Build a copy: Go refuses to build a module's folder that has a changed file.
	changed := filepath.Join(programs.Dir, "pocketbase")
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
	return programs.Build(ctx, changed, "./examples/base")
}

func (s *pocketBase) URL() string { return s.url }

func (s *pocketBase) Start(ctx context.Context, dir string) (process.Running, error) {
	const email, password = "bench@example.com", "bench-bench-bench"
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	s.url = "http://" + addr
	data := dir + "/data"
	if out, err := exec.CommandContext(ctx, s.program, "superuser", "upsert", email, password, "--dir", data).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make PocketBase's superuser: %w\n%s", err, out)
	}
	p, err := process.Launch(ctx, dir, s.url+"/api/health", nil, s.program, "serve", "--http", addr, "--dir", data)
	if err != nil {
		return nil, err
	}
	if err := s.declare(ctx, email, password); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// declare creates a collection that every client may read and write.
func (s *pocketBase) declare(ctx context.Context, email, password string) error {
	var login struct{ Token string }
	body := fmt.Sprintf(`{"identity":%q,"password":%q}`, email, password)
	if err := load.SendJSON(ctx, http.MethodPost, s.url+"/api/collections/_superusers/auth-with-password", "application/json", []byte(body), &login); err != nil {
		return fmt.Errorf("log in to PocketBase: %w", err)
	}
	const collection = `{"name":"people","type":"base","listRule":"","viewRule":"","createRule":"","updateRule":"","deleteRule":"",
		"fields":[{"name":"name","type":"text","required":true},{"name":"email","type":"text","required":true}],
		"indexes":["CREATE UNIQUE INDEX people_email ON people (email COLLATE NOCASE)"]}`
	if err := load.SendJSON(ctx, http.MethodPost, s.url+"/api/collections", "application/json", []byte(collection), nil, "Authorization", login.Token); err != nil {
		return fmt.Errorf("make PocketBase's collection: %w", err)
	}
	return nil
}

func (s *pocketBase) Fill(ctx context.Context, entities int) error {
	s.ids = nil
	for n := range min(entities, 2000) { // one by one, because there is no import
		name, email := Person(n)
		body, err := json.Marshal(map[string]string{"name": name, "email": email})
		if err != nil {
			return err
		}
		var made struct{ ID string }
		if err := load.SendJSON(ctx, http.MethodPost, s.url+"/api/collections/people/records", "application/json", body, &made); err != nil {
			return err
		}
		s.ids = append(s.ids, made.ID)
	}
	return nil
}

func (s *pocketBase) Requests(w load.Workload) (load.Requests, bool) {
	const records = "/api/collections/people/records"
	switch w {
	case load.GetEventual:
		return load.Requests{Method: http.MethodGet, Targets: paths(records+"/%s", s.ids)}, true
	case load.ListEventual:
		return load.Requests{Method: http.MethodGet, Targets: []string{records + "?perPage=20&skipTotal=true"}}, true
	case load.Create:
		name, _ := Person(0)
		return load.Requests{Method: http.MethodPost, ContentType: "application/json", Targets: []string{records},
			Body: fmt.Sprintf(`{"name":%q,"email":"person-{n}@example.com"}`, name)}, true
	}
	return load.Requests{}, false
}
