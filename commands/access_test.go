package commands_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// usersPolicy compiles rules for the collection users.
func usersPolicy(t *testing.T, rules string) *access.Policy {
	t.Helper()
	dir := t.TempDir()
	schema := `{"title":"users","type":"object","x-access":` + rules + `,"properties":{"name":{"type":"string"},"email":{"type":"string","x-unique":"nocase"}}}`
	if err := os.WriteFile(filepath.Join(dir, "users.json"), []byte(schema), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	policies, err := access.Compile(set)
	if err != nil {
		t.Fatal(err)
	}
	return policies.Of("users")
}

// While another service gives an entity away and takes it back, its owner can change it only on
// versions that it owns: a rule is decided on the version that the event then requires.
func TestARaceDoesNotGetPastARule(t *testing.T) {
	b := servicetest.StartBroker(t)
	one, other := newService(t, b, 10*time.Second), newService(t, b, 10*time.Second)
	c := create(t, "ada@example.com")
	must(t, one, c)
	owner := commands.Asker{Caller: caller.Caller{Name: "ada"}, Policy: usersPolicy(t, `{"read":"true","update":"old.name == auth.sub && new.name == old.name"}`)}

	names := map[int64]string{1: "Ada"} // by version, of the changes of the other service
	var changed []int64                 // the versions that the owner made
	var denied int
	var both sync.WaitGroup
	stop := make(chan struct{})
	both.Go(func() {
		defer close(stop)
		for i := range 60 {
			name := []string{"ada", "bob"}[i%2]
			r := must(t, other, commands.Command{Action: commands.Patch, Collection: c.Collection, ID: c.ID, Patch: fmt.Appendf(nil, `{"name":%q}`, name)})
			names[r.Entity.Version] = name
		}
	})
	both.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			r, err := one.Execute(servicetest.Context(t), commands.Command{Action: commands.Patch, Collection: c.Collection, ID: c.ID, Asker: owner, Patch: fmt.Appendf(nil, `{"email":"ada%d@example.com"}`, i)})
			switch {
			case err == nil:
				changed = append(changed, r.Entity.Version)
				if !strings.Contains(string(r.Entity.Rendered), `"name":"ada"`) {
					t.Errorf("got %s, want the owner's name", r.Entity.Rendered)
				}
			case rejectedAs(err, commands.Forbidden):
				denied++
			default:
				t.Errorf("got %v, want a change or a rejection", err)
			}
		}
	})
	both.Wait()
	for _, version := range changed {
		before := version - 1
		for names[before] == "" && before > 1 {
			before-- // a version that the owner made, which kept the name
		}
		if names[before] != "ada" {
			t.Errorf("version %d: got a change by the owner of an entity of %s, want none", version, names[before])
		}
	}
	if len(changed) == 0 || denied == 0 {
		t.Errorf("got %d changes and %d rejections, want some of both", len(changed), denied)
	}
}

// What a caller may not read does not exist for it, and a rule is checked before unique values are.
func TestHiddenEntitiesDoNotExist(t *testing.T) {
	s := newService(t, servicetest.StartBroker(t), 10*time.Second)
	c := create(t, "ada@example.com")
	must(t, s, c)
	asker := func(rules string) commands.Asker {
		return commands.Asker{Caller: caller.Caller{Name: "eve"}, Policy: usersPolicy(t, rules)}
	}
	for rules, want := range map[string]commands.RejectionKind{
		`{"read":"old.name == auth.sub","update":"true","delete":"true"}`: commands.NotFound,
		`{"read":"true","update":"old.name == auth.sub"}`:                 commands.Forbidden,
	} {
		for _, action := range []commands.Action{commands.Replace, commands.Patch, commands.Delete} {
			command := commands.Command{Action: action, Collection: c.Collection, ID: c.ID, Asker: asker(rules), Document: doc(t, `{"name":"E","email":"e@example.com"}`), Patch: []byte(`{"name":"E"}`)}
			if action == commands.Delete && want == commands.Forbidden {
				command.Asker = asker(`{"read":"true","delete":"old.name == auth.sub"}`)
			}
			if _, err := s.Execute(servicetest.Context(t), command); !rejectedAs(err, want) {
				t.Errorf("%s, action %d: got %v, want the rejection %d", rules, action, err, want)
			}
		}
	}
	taken := create(t, "ada@example.com")
	taken.Asker = asker(`{"create":"new.name == auth.sub"}`)
	if _, err := s.Execute(servicetest.Context(t), taken); !rejectedAs(err, commands.Forbidden) {
		t.Errorf("a create with a taken value: got %v, want Forbidden", err)
	}
	if o := s.ExecuteBatch(servicetest.Context(t), []commands.Command{taken}); !rejectedAs(o[0].Err, commands.Forbidden) {
		t.Errorf("an import: got %v, want Forbidden", o[0].Err)
	}
	var rejection *commands.Rejection
	if _, err := s.Execute(servicetest.Context(t), taken); !errors.As(err, &rejection) || rejection.Holder != "" {
		t.Errorf("got %+v, want no holder", rejection)
	}
}
