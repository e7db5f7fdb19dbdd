package subjects

import (
	"context"
	"fmt"

	"github.com/clusterlite/clusterlite/bench/load"
	"github.com/clusterlite/clusterlite/bench/process"
)

// A Subject is a store that can be measured.
type Subject interface {
	// Name returns the name of the subject in the report.
	Name() string
	// URL returns the URL of the running subject.
	URL() string
	// Start starts the subject with an empty store in dir. The subject runs until the returned
	// value is stopped.
	Start(ctx context.Context, dir string) (process.Running, error)
	// Fill creates the given number of entities.
	Fill(ctx context.Context, entities int) error
	// Requests returns the requests of a workload. ok is false if the subject does not support it.
	Requests(w load.Workload) (r load.Requests, ok bool)
}

// New builds what a subject needs, and returns the subject.
func New(ctx context.Context, programs *process.Programs, name string) (s Subject, err error) {
	switch name {
	case ClusterLiteName:
		s := &ClusterLite{}
		s.Program, err = programs.Own(ctx, "./clusterlite")
		return s, err
	case WithoutJournalName:
		s := &withoutJournal{}
		s.Program, err = programs.Own(ctx, "./clusterlite")
		return s, err
	case SecuredName, RuledName:
		s := &secured{name: name, rule: map[string]string{RuledName: securedRule}[name]}
		s.Program, err = programs.Own(ctx, "./clusterlite")
		return s, err
	case ClusterName:
		return newCluster(ctx, programs)
	case RqliteName, RqliteClusterName:
		s := &rqlite{nodes: map[string]int{RqliteName: 1, RqliteClusterName: 3}[name]}
		s.program, err = programs.OfModule(ctx, "github.com/rqlite/rqlite/v8@v8.36.0", "./cmd/rqlited")
		return s, err
	case PocketBaseName:
		s := &pocketBase{durable: true}
		s.program, err = durablePocketBase(ctx, programs)
		return s, err
	case PocketBaseUnsyncedName:
		s := &pocketBase{}
		s.program, err = programs.OfModule(ctx, pocketBaseModule, "./examples/base")
		return s, err
	case RawName:
		s := &raw{}
		s.Program, err = programs.Own(ctx, "./clusterlite")
		return s, err
	case BareName, NaiveName:
		return &limits{which: name}, nil
	}
	return nil, fmt.Errorf("no subject is called %s", name)
}

// Person is the entity that all subjects store: about 170 bytes, with a unique address.
func Person(n int) (name, email string) {
	return fmt.Sprintf("Person %08d, with a name that is long enough to make a document of one hundred and seventy bytes, as many are", n),
		fmt.Sprintf("person-%08d@example.com", n)
}
