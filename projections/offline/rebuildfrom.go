package offline

import (
	"context"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// FromFile has a rebuild start from an ordinary file, which is copied: nothing has it open,
// and no log lies beside it.
func FromFile(from string) func(ctx context.Context, path string) error {
	return func(_ context.Context, path string) error { return sqlite.CopyDatabase(from, path) }
}
