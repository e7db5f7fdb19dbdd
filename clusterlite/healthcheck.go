package main

import (
	"context"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// healthcheck is for containers, whose images have no other HTTP client.
type healthcheck struct {
	settings.AdminAddr `embed:""`
}

func (h healthcheck) Run(ctx context.Context) error { return admin.CheckHealth(ctx, h.Addr) }
