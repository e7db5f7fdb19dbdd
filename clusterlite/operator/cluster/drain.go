package cluster

import (
	"context"

	"github.com/clusterlite/clusterlite/clusterlite/subcommand"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// Drain is for what runs before a process is stopped, such as the preStop hook of a container.
type Drain struct {
	settings.AdminAddr `embed:""`
}

// Run implements [subcommand.Command].
func (d Drain) Run(ctx context.Context, _ subcommand.Streams) error {
	token, err := d.TLS.Secret(func(error) {})
	if err != nil {
		return err
	}
	return admin.Drain(ctx, d.Addr, d.Encrypted(), token)
}
