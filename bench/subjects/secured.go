package subjects

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
)

// These are the names of a [secured] without and with a rule in the report.
const (
	SecuredName = "ClusterLite with an API key"
	RuledName   = "ClusterLite with an access rule"
)

// securedCollection is the same as users, and has an owner that the server sets.
const securedCollection = "people"

const securedSchema = `{"title":"` + securedCollection + `","type":"object","additionalProperties":false,%s"properties":{
	"name":{"type":"string"},"email":{"type":"string","x-unique":true},"owner":{"type":"string","x-default":"auth.sub","x-index":true}}}`

// securedRule lets callers do everything with the entities that they own.
const securedRule = `"x-access":{"read":"old.owner == auth.sub","create":"true","update":"old.owner == auth.sub","delete":"old.owner == auth.sub"},`

// secured is a [ClusterLite] whose clients send an API key. They own all entities.
type secured struct {
	ClusterLite
	name, rule    string
	authorization string
}

// Name implements [Subject].
func (s *secured) Name() string { return s.name }

// Start implements [Subject].
func (s *secured) Start(ctx context.Context, dir string) (process.Running, error) {
	collections := filepath.Join(dir, "collections")
	if err := os.MkdirAll(collections, 0o750); err != nil {
		return nil, err
	}
	schema := fmt.Sprintf(securedSchema, s.rule)
	if err := os.WriteFile(filepath.Join(collections, securedCollection+".json"), []byte(schema), 0o600); err != nil {
		return nil, err
	}
	p, err := s.launch(ctx, dir, []string{"CLUSTERLITE_AUTH_KEYS=true", "CLUSTERLITE_COLLECTIONS=" + collections})
	if err != nil {
		return nil, err
	}
	create := exec.CommandContext(ctx, s.Program, "keys", "create", "bench")
	create.Env = append(os.Environ(), "CLUSTERLITE_KAFKA_BROKERS="+s.Broker)
	key, err := create.Output()
	if err != nil {
		p.Stop()
		return nil, fmt.Errorf("create an API key: %w", err)
	}
	s.authorization = "Bearer " + strings.TrimSpace(string(key))
	return p, nil
}

// Fill implements [Subject].
func (s *secured) Fill(ctx context.Context, entities int) error {
	return s.fill(ctx, securedCollection, entities, "Authorization", s.authorization)
}

// Requests implements [Subject].
func (s *secured) Requests(w load.Workload) (load.Requests, bool) {
	r := load.Requests{Method: http.MethodGet, Header: map[string]string{"Clusterlite-Consistency": "eventual", "Authorization": s.authorization}}
	switch w {
	case load.GetEventual:
		r.Targets = paths("/"+securedCollection+"/%s", s.IDs)
	case load.ListEventual:
		r.Targets = []string{"/" + securedCollection + "?limit=20"}
	default:
		return load.Requests{}, false
	}
	return r, true
}
