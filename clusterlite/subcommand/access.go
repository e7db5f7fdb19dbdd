package subcommand

import (
	"context"
	"log/slog"

	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Access holds the flags of a subcommand that sends requests to the admin listeners of nodes.
type Access struct {
	settings.AdminAccess `embed:""`
}

// Apply reads the files of the flags and returns a context whose requests to nodes use them.
// The error names the flag.
func (a Access) Apply(ctx context.Context, out Streams) (context.Context, error) {
	access, err := a.Admin(out)
	return admin.WithAccess(ctx, access), err
}

// OpenLog opens the log of the settings, and returns it with the context of [Access.Apply].
func (a Access) OpenLog(ctx context.Context, kafka settings.Kafka, out Streams) (context.Context, *eventlog.Log, error) {
	ctx, err := a.Apply(ctx, out)
	if err != nil {
		return nil, nil, err
	}
	log, err := OpenLog(kafka, out)
	return ctx, log, err
}

// Admin reads the files of the flags. The error names the flag.
func (a Access) Admin(out Streams) (access admin.Access, err error) {
	report := func(err error) {
		slog.New(slog.NewTextHandler(out.Stderr, nil)).Warn("a file of the flags can't be used", "error", err)
	}
	if access.TLS, err = a.Client(report); err != nil {
		return access, err
	}
	access.Token, err = a.Secret(report)
	return access, err
}
