package subjects

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
)

// ClusterLiteName is the name of a [ClusterLite] in the report.
const ClusterLiteName = "ClusterLite"

// ClusterLite is one process with the embedded broker, as `clusterlite serve` runs it.
type ClusterLite struct {
	// Program is the path of the program.
	Program string
	// Admin is the URL of the admin listener, and Broker the address of the broker.
	Admin, Broker string
	// IDs are the ids of the entities that Fill or Import created last.
	IDs []string
	// Every is the number of created entities for each id that Fill keeps. Zero keeps all ids.
	Every int
	// Under is a command that starts the program, such as a tracer. It may be empty.
	Under []string

	url string
}

// Name implements [Subject].
func (*ClusterLite) Name() string { return ClusterLiteName }

// Start implements [Subject].
func (s *ClusterLite) Start(ctx context.Context, dir string) (process.Running, error) {
	return s.launch(ctx, dir, nil)
}

// launch starts the program with further variables of its environment.
func (s *ClusterLite) launch(ctx context.Context, dir string, env []string) (process.Running, error) {
	var addrs [3]string
	for i := range addrs {
		var err error
		if addrs[i], err = process.FreeAddr(); err != nil {
			return nil, err
		}
	}
	s.url, s.Admin, s.Broker = "http://"+addrs[0], "http://"+addrs[1], addrs[2]
	command := append(slices.Clone(s.Under), s.Program, "serve",
		"--data-dir", dir+"/data", "--http-addr", addrs[0], "--admin-addr", addrs[1], "--kafka-listen", addrs[2], "--log-level", "warn")
	return process.Launch(ctx, dir, s.Admin+"/readyz", env, command[0], command[1:]...)
}

// Fill implements [Subject]. It creates the entities with imports.
func (s *ClusterLite) Fill(ctx context.Context, entities int) error {
	return s.fill(ctx, "users", entities)
}

// fill creates entities in a collection, with further header fields.
func (s *ClusterLite) fill(ctx context.Context, collection string, entities int, header ...string) error {
	const chunk = 5000
	s.IDs = nil
	count := 0
	for from := 0; from < entities; from += chunk {
		var lines bytes.Buffer
		for n := from; n < min(from+chunk, entities); n++ {
			name, email := Person(n)
			fmt.Fprintf(&lines, "{\"name\":%q,\"email\":%q}\n", name, email)
		}
		status, answer, err := load.Send(ctx, http.MethodPost, s.url+"/"+collection, "application/x-ndjson", lines.Bytes(),
			append([]string{"Accept", "application/x-ndjson"}, header...)...)
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("import: status %d, %w", status, err)
		}
		for line := range bytes.Lines(answer) {
			var result struct {
				Status int
				ID     string
			}
			if err := json.Unmarshal(line, &result); err != nil || result.Status != http.StatusCreated {
				return fmt.Errorf("import: got %s", line)
			}
			if count++; s.Every == 0 || count%s.Every == 0 {
				s.IDs = append(s.IDs, result.ID)
			}
		}
	}
	return nil
}

// Requests implements [Subject].
func (s *ClusterLite) Requests(w load.Workload) (load.Requests, bool) {
	consistency := map[load.Workload]string{load.GetEventual: "eventual", load.GetStrong: "strong", load.GetLinearizable: "linearizable", load.ListEventual: "eventual"}[w]
	header := map[string]string{"Clusterlite-Consistency": consistency}
	switch w {
	case load.GetEventual, load.GetStrong, load.GetLinearizable:
		return load.Requests{Method: http.MethodGet, Header: header, Targets: paths("/users/%s", s.IDs)}, true
	case load.ListEventual:
		return load.Requests{Method: http.MethodGet, Header: header, Targets: []string{"/users?limit=20"}}, true
	case load.Create:
		name, _ := Person(0)
		return load.Requests{Method: http.MethodPost, ContentType: "application/json", Targets: []string{"/users"},
			Body: fmt.Sprintf(`{"name":%q,"email":"person-{n}@example.com"}`, name)}, true
	}
	return load.Requests{}, false
}

// URL implements [Subject].
func (s *ClusterLite) URL() string { return s.url }

// paths returns a path for each id.
func paths(format string, ids []string) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = fmt.Sprintf(format, id)
	}
	return all
}
