package cluster

import (
	"context"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Healthcheck is for containers, whose images have no other HTTP client.
type Healthcheck struct {
	settings.AdminAddr `embed:""`
}

// Run implements [subcommand.Command].
func (h Healthcheck) Run(ctx context.Context, _ subcommand.Streams) error {
	return admin.CheckHealth(ctx, h.Addr, h.Encrypted())
}
