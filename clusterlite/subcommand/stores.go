package subcommand

import (
	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/azure"
	"github.com/clusterlite/clusterlite/service/node/snapshots/gcs"
	"github.com/clusterlite/clusterlite/service/node/snapshots/s3"
)

// Stores lists the kinds of buckets that can hold snapshots, besides folders.
var Stores = snapshots.Providers{s3.Scheme: s3.Open, gcs.Scheme: gcs.Open, azure.Scheme: azure.Open}
