package main

import (
	"context"

	"github.com/clusterlite/clusterlite/service/admin"
	"github.com/clusterlite/clusterlite/service/settings"
)

// healthcheck is for a container that has no other client.
type healthcheck struct {
	settings.AdminAddr `embed:""`
}

func (h healthcheck) Run(ctx context.Context) error { return admin.CheckHealth(ctx, h.Addr) }
