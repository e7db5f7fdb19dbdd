package embedded

import (
	"os"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// BenchmarkAppend measures one record and its acknowledgement, with this package and with kfake
// alone. CLUSTERLITE_BENCH_DIR sets the folder of the log, for example on a file system where a
// sync costs nothing.
func BenchmarkAppend(b *testing.B) {
	value := make([]byte, 300)
	run := func(b *testing.B, broker *Broker) {
		c := client(b, broker)
		makeTopic(b, c)
		b.ReportAllocs()
		for b.Loop() {
			if err := c.ProduceSync(b.Context(), &kgo.Record{Value: value}).FirstErr(); err != nil {
				b.Fatal(err)
			}
		}
	}
	dir := func(b *testing.B) string {
		dir, err := os.MkdirTemp(os.Getenv("CLUSTERLITE_BENCH_DIR"), "append-*")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = os.RemoveAll(dir) })
		return dir
	}
	b.Run("embedded", func(b *testing.B) { run(b, start(b, dir(b))) })
	b.Run("kfake", func(b *testing.B) {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir(b)), kfake.SyncWrites())
		if err != nil {
			b.Fatal(err)
		}
		defer cluster.Close()
		run(b, &Broker{cluster: cluster, addr: cluster.ListenAddrs()[0]})
	})
}
