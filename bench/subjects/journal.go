package subjects

import (
	"context"

	"github.com/clusterlite/clusterlite/bench/process"
)

// WithoutJournalName is the name of a ClusterLite that keeps no journal of events in the report.
const WithoutJournalName = "ClusterLite without a journal"

// withoutJournal is a [ClusterLite] that keeps no journal of events.
type withoutJournal struct{ ClusterLite }

// Name implements [Subject].
func (*withoutJournal) Name() string { return WithoutJournalName }

// Start implements [Subject].
func (s *withoutJournal) Start(ctx context.Context, dir string) (process.Running, error) {
	return s.launch(ctx, dir, []string{"CLUSTERLITE_JOURNAL=off"})
}
