// Command clusterlite-command accepts writes: it validates them, appends events to the log, and
// responds according to the verdict that the log gives.
package main

import (
	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/node"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/program"
)

func main() {
	process.Main(program.Service[settings.Writes]{
		Role: "command", Name: "clusterlite-command", Help: "The command service of ClusterLite: serves POST, PUT, PATCH and DELETE.", Serves: "writes",
		HTTPAddr: ":8081", AdminAddr: "127.0.0.1:9081",
		Routes: func(n *node.Node, s settings.Writes) contract.Routes { return commands.New(n, s).Routes() },
	}.Run)
}
