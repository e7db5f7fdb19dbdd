package offline

import (
	"context"

	"github.com/clusterlite/clusterlite/projections/internal/sqlite"
)

// FromFile makes a rebuild start from a copy of an ordinary file that no process has open.
func FromFile(from string) func(ctx context.Context, path string) error {
	return func(_ context.Context, path string) error { return sqlite.CopyDatabase(from, path) }
}
