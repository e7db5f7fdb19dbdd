// Command clusterlite runs all of ClusterLite in one process, and is the operator's tool.
// Package cli lists its subcommands.
package main

import (
	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/service/process"
)

func main() { process.Main(cli.Run) }
