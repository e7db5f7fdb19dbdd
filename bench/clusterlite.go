package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

const ownName = "ClusterLite"

// clusterLite is one process with the embedded broker, as `clusterlite serve` runs it.
type clusterLite struct {
	program            string
	url, admin, broker string
	ids                []string
	// every is the number of created entities for each id that fill keeps. Zero keeps all ids.
	every int
	// under is a command that starts the program, such as a tracer. It may be empty.
	under []string
}

func (*clusterLite) name() string { return ownName }

func (s *clusterLite) start(ctx context.Context, dir string) (running, error) {
	var addrs [3]string
	for i := range addrs {
		var err error
		if addrs[i], err = freeAddr(); err != nil {
			return nil, err
		}
	}
	s.url, s.admin, s.broker = "http://"+addrs[0], "http://"+addrs[1], addrs[2]
	command := append(slices.Clone(s.under), s.program, "serve",
		"--data-dir", dir+"/data", "--http-addr", addrs[0], "--admin-addr", addrs[1], "--kafka-listen", addrs[2], "--log-level", "warn")
	return launch(ctx, dir, s.admin+"/readyz", nil, command[0], command[1:]...)
}

func (s *clusterLite) fill(ctx context.Context, entities int) error {
	const chunk = 5000
	s.ids = nil
	count := 0
	for from := 0; from < entities; from += chunk {
		var lines bytes.Buffer
		for n := from; n < min(from+chunk, entities); n++ {
			name, email := person(n)
			fmt.Fprintf(&lines, "{\"name\":%q,\"email\":%q}\n", name, email)
		}
		status, answer, err := send(ctx, http.MethodPost, s.url+"/users", "application/x-ndjson", lines.Bytes(), "Accept", "application/x-ndjson")
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
			if count++; s.every == 0 || count%s.every == 0 {
				s.ids = append(s.ids, result.ID)
			}
		}
	}
	return nil
}

func (s *clusterLite) load(w workload) (load, bool) {
	consistency := map[workload]string{getEventual: "eventual", getStrong: "strong", getLinearizable: "linearizable", listEventual: "eventual"}[w]
	header := map[string]string{"Clusterlite-Consistency": consistency}
	switch w {
	case getEventual, getStrong, getLinearizable:
		return load{method: http.MethodGet, header: header, targets: paths("/users/%s", s.ids)}, true
	case listEventual:
		return load{method: http.MethodGet, header: header, targets: []string{"/users?limit=20"}}, true
	case create:
		name, _ := person(0)
		return load{method: http.MethodPost, contentType: "application/json", targets: []string{"/users"},
			body: fmt.Sprintf(`{"name":%q,"email":"person-{n}@example.com"}`, name)}, true
	}
	return load{}, false
}

func (s *clusterLite) base() string { return s.url }

// paths returns a path for each id.
func paths(format string, ids []string) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = fmt.Sprintf(format, id)
	}
	return all
}
