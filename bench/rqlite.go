package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
)

const (
	rqliteName        = "rqlite 8.36.0"
	rqliteClusterName = "rqlite 8.36.0, 3 nodes"
)

// rqlite is one node, or three nodes of which the first leads and receives all requests. Its
// log is synced before a write is acknowledged.
type rqlite struct {
	program string
	nodes   int
	url     string
	ids     []string
}

func (s *rqlite) name() string {
	if s.nodes > 1 {
		return rqliteClusterName
	}
	return rqliteName
}

func (s *rqlite) base() string { return s.url }

func (s *rqlite) start(ctx context.Context, dir string) (running, error) {
	var nodes fleet
	leader, err := "", error(nil)
	for i := range s.nodes {
		var api, raft string
		if api, raft, err = twoAddrs(); err != nil {
			break
		}
		args := []string{"-http-addr", api, "-raft-addr", raft, "-node-id", strconv.Itoa(i + 1)}
		if i == 0 {
			s.url, leader = "http://"+api, raft
		} else {
			args = append(args, "-join", leader)
		}
		home := filepath.Join(dir, strconv.Itoa(i+1))
		var p *process
		if p, err = launch(ctx, home, "http://"+api+"/readyz", nil, s.program, append(args, home+"/data")...); err != nil {
			break
		}
		nodes = append(nodes, p)
	}
	if err == nil {
		err = s.execute(ctx, `["CREATE TABLE users (id TEXT PRIMARY KEY, version INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL, name TEXT NOT NULL, email TEXT NOT NULL COLLATE NOCASE UNIQUE)"]`)
	}
	if err != nil {
		nodes.stop()
		return nil, err
	}
	return nodes, nil
}

func (s *rqlite) execute(ctx context.Context, statements string) error {
	var answer struct {
		Results []struct{ Error string }
	}
	if err := sendJSON(ctx, http.MethodPost, s.url+"/db/execute", "application/json", []byte(statements), &answer); err != nil {
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

func (s *rqlite) fill(ctx context.Context, entities int) error {
	const chunk = 1000
	s.ids = nil
	for from := 0; from < entities; from += chunk {
		var statements bytes.Buffer
		for n := from; n < min(from+chunk, entities); n++ {
			name, email := person(n)
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

func (s *rqlite) load(w workload) (load, bool) {
	query := func(level, sql string) string {
		return "/db/query?level=" + level + "&q=" + url.QueryEscape(sql)
	}
	level := map[workload]string{getEventual: "none", getStrong: "linearizable", getLinearizable: "strong", listEventual: "none"}[w]
	switch w {
	case getEventual, getStrong, getLinearizable:
		targets := make([]string, len(s.ids))
		for i, id := range s.ids {
			targets[i] = query(level, "SELECT * FROM users WHERE id = '"+id+"'")
		}
		return load{method: http.MethodGet, targets: targets}, true
	case listEventual:
		return load{method: http.MethodGet, targets: []string{query(level, "SELECT * FROM users ORDER BY id LIMIT 20")}}, true
	case create:
		name, _ := person(0)
		return load{method: http.MethodPost, contentType: "application/json", targets: []string{"/db/execute"},
			body: "[" + fmt.Sprintf(rqliteInsert, "new-{n}", name, "person-{n}@example.com") + "]"}, true
	}
	return load{}, false
}
