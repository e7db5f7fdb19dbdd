// Command clusterlite-query answers reads from a SQLite file that it builds from the log.
package main

import (
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/program"
)

func main() {
	process.Main(program.Service[settings.Reads]{
		Role: "query", Name: "clusterlite-query", Help: "The query service of ClusterLite: serves GET and HEAD.", Serves: "reads",
		HTTPAddr: ":8082", AdminAddr: "127.0.0.1:9082",
		Routes: func(n *node.Node, s settings.Reads) contract.Routes { return queryapi.New(n, s).Routes() },
		Feed:   queryapi.WebhookFeed,
	}.Run)
}
