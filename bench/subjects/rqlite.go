package subjects

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
)

// Names of rqlite and of its cluster in the report.
const (
	RqliteName        = "rqlite 8.36.0"
	RqliteClusterName = "rqlite 8.36.0, 3 nodes"
)

// rqlite is one node, or three nodes of which the first leads and receives all requests. Its
// log is synced before a write is acknowledged.
type rqlite struct {
	program string
	nodes   int
	url     string
	ids     []string
}

func (s *rqlite) Name() string {
	if s.nodes > 1 {
		return RqliteClusterName
	}
	return RqliteName
}

func (s *rqlite) URL() string { return s.url }

func (s *rqlite) Start(ctx context.Context, dir string) (process.Running, error) {
	var nodes process.Fleet
	leader, err := "", error(nil)
	for i := range s.nodes {
		var api, raft string
		if api, raft, err = process.TwoAddrs(); err != nil {
			break
		}
		args := []string{"-http-addr", api, "-raft-addr", raft, "-node-id", strconv.Itoa(i + 1)}
		if i == 0 {
			s.url, leader = "http://"+api, raft
		} else {
			args = append(args, "-join", leader)
		}
		home := filepath.Join(dir, strconv.Itoa(i+1))
		var p *process.Process
		if p, err = process.Launch(ctx, home, "http://"+api+"/readyz", nil, s.program, append(args, home+"/data")...); err != nil {
			break
		}
		nodes = append(nodes, p)
	}
	if err == nil {
		err = s.execute(ctx, `["CREATE TABLE users (id TEXT PRIMARY KEY, version INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL COLLATE NOCASE UNIQUE)"]`)
	}
	if err != nil {
		nodes.Stop()
		return nil, err
	}
	return nodes, nil
}

func (s *rqlite) execute(ctx context.Context, statements string) error {
	var answer struct {
		Results []struct{ Error string }
	}
	if err := load.SendJSON(ctx, http.MethodPost, s.url+"/db/execute", "application/json", []byte(statements), &answer); err != nil {
		return err
	}
	for _, r := range answer.Results {
		if r.Error != "" {
			return fmt.Errorf("rqlite: %s", r.Error)
		}
	}
	return nil
}

const rqliteInsert = `["INSERT INTO users VALUES (?, 1, '2026-11-26T12:00:00.000Z', '2026-11-26T12:00:00.000Z', ?, ?)", %q, %q, %q]`

func (s *rqlite) Fill(ctx context.Context, entities int) error {
	const chunk = 1000
	s.ids = nil
	for from := 0; from < entities; from += chunk {
		var statements bytes.Buffer
		for n := from; n < min(from+chunk, entities); n++ {
			name, email := Person(n)
			id := fmt.Sprintf("0193a1a0-7c1e-7d2b-9c55-%012d", n)
			s.ids = append(s.ids, id)
			fmt.Fprintf(&statements, ","+rqliteInsert, id, name, email)
		}
		statements.WriteByte(']')
		statements.Bytes()[0] = '['
		if err := s.execute(ctx, statements.String()); err != nil {
			return err
		}
	}
	return nil
}

func (s *rqlite) Requests(w load.Workload) (load.Requests, bool) {
	query := func(level, sql string) string {
		return "/db/query?level=" + level + "&q=" + url.QueryEscape(sql)
	}
	level := map[load.Workload]string{load.GetEventual: "none", load.GetStrong: "linearizable", load.GetLinearizable: "strong", load.ListEventual: "none"}[w]
	switch w {
	case load.GetEventual, load.GetStrong, load.GetLinearizable:
		targets := make([]string, len(s.ids))
		for i, id := range s.ids {
			targets[i] = query(level, "SELECT * FROM users WHERE id = '"+id+"'")
		}
		return load.Requests{Method: http.MethodGet, Targets: targets}, true
	case load.ListEventual:
		return load.Requests{Method: http.MethodGet, Targets: []string{query(level, "SELECT * FROM users ORDER BY id LIMIT 20")}}, true
	case load.Create:
		name, _ := Person(0)
		return load.Requests{Method: http.MethodPost, ContentType: "application/json", Targets: []string{"/db/execute"},
			Body: "[" + fmt.Sprintf(rqliteInsert, "new-{n}", name, "person-{n}@example.com") + "]"}, true
	}
	return load.Requests{}, false
}
