package main

import (
	"context"
	"os"
)

// A queryNode is a query service in its own process. Its folder may be kept for another start.
type queryNode struct {
	*process
	url, admin string
}

// startQuery starts a query service and waits until it has caught up.
func (b *bench) startQuery(ctx context.Context, dir, brokers string, env ...string) (queryNode, error) {
	program, err := b.ownProgram(ctx, "./queryapi/cmd/clusterlite-query")
	if err != nil {
		return queryNode{}, err
	}
	p, url, admin, err := startService(ctx, dir, program, "query-1", brokers, env...)
	return queryNode{p, url, admin}, err
}

// startService starts a command or query service and waits until it is ready.
func startService(ctx context.Context, dir, program, name, brokers string, env ...string) (p *process, url, admin string, err error) {
	api, adminAddr, err := twoAddrs()
	if err != nil {
		return nil, "", "", err
	}
	url, admin = "http://"+api, "http://"+adminAddr
	p, err = launch(ctx, dir, admin+"/readyz", append([]string{
		"CLUSTERLITE_NODE_ID=" + name, "CLUSTERLITE_HTTP_ADDR=" + api, "CLUSTERLITE_ADMIN_ADDR=" + adminAddr,
		"CLUSTERLITE_KAFKA_BROKERS=" + brokers, "CLUSTERLITE_DATA_DIR=" + dir + "/data", "CLUSTERLITE_LOG_LEVEL=warn",
	}, env...), program)
	return p, url, admin, err
}

// twoAddrs returns two free addresses on loopback.
func twoAddrs() (one, other string, err error) {
	if one, err = freeAddr(); err != nil {
		return "", "", err
	}
	for other == "" || other == one {
		if other, err = freeAddr(); err != nil {
			return "", "", err
		}
	}
	return one, other, nil
}

// size returns the size of a file in bytes, or zero if the file does not exist.
func size(path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return float64(info.Size())
}
