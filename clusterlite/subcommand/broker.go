package subcommand

import (
	"path/filepath"

	"github.com/clusterlite/clusterlite/events/embedded"
	"github.com/clusterlite/clusterlite/service/process/logging"
	"github.com/clusterlite/clusterlite/service/process/settings"
)

// BrokerDir returns the folder of the embedded broker's log within the data folder of
// clusterlite serve. The data folder of a command or query node has none.
func BrokerDir(dataDir string) string { return filepath.Join(dataDir, "broker") }

// StartBroker starts the embedded broker of a stopped clusterlite serve, and points the
// settings to it. Its log can't be read or written in any other way. The caller must hold the
// lock of the data folder, and call stop.
func StartBroker(dataDir string, kafka *settings.Kafka, out Streams) (stop func(), err error) {
	b, err := embedded.Start(BrokerDir(dataDir), "127.0.0.1:0", logging.New(out.Stderr, "text", "warn"))
	if err != nil {
		return nil, err
	}
	kafka.Brokers = []string{b.Addr()}
	return b.Close, nil
}
