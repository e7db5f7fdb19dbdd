package subjects

import (
	"context"

	"github.com/clusterlite/clusterlite/bench/process"
)

// A QueryNode is a query service in its own process. Its folder may be kept for another start.
type QueryNode struct {
	*process.Process
	URL, Admin string
}

// Subject returns the node as a subject of reads of these entities.
func (q QueryNode) Subject(ids []string) Subject { return &ClusterLite{url: q.URL, IDs: ids} }

// StartQuery starts a query service and waits until it has caught up.
func StartQuery(ctx context.Context, programs *process.Programs, dir, brokers string, env ...string) (QueryNode, error) {
	program, err := programs.Own(ctx, "./queryapi/cmd/clusterlite-query")
	if err != nil {
		return QueryNode{}, err
	}
	p, url, admin, err := startService(ctx, dir, program, "query-1", brokers, env...)
	return QueryNode{p, url, admin}, err
}

// startService starts a command or query service and waits until it is ready.
func startService(ctx context.Context, dir, program, name, brokers string, env ...string) (p *process.Process, url, admin string, err error) {
	api, adminAddr, err := process.TwoAddrs()
	if err != nil {
		return nil, "", "", err
	}
	url, admin = "http://"+api, "http://"+adminAddr
	p, err = process.Launch(ctx, dir, admin+"/readyz", append([]string{
		"CLUSTERLITE_NODE_ID=" + name, "CLUSTERLITE_HTTP_ADDR=" + api, "CLUSTERLITE_ADMIN_ADDR=" + adminAddr,
		"CLUSTERLITE_KAFKA_BROKERS=" + brokers, "CLUSTERLITE_DATA_DIR=" + dir + "/data", "CLUSTERLITE_LOG_LEVEL=warn",
	}, env...), program)
	return p, url, admin, err
}
