package webhooks_test

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
)

// BenchmarkDelivery delivers events of different entities to an endpoint that accepts each at once. Each
// event counts as one operation.
func BenchmarkDelivery(b *testing.B) {
	for _, concurrency := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("concurrency=%d", concurrency), func(b *testing.B) {
			e := newEndpoint(b)
			c := newCluster(b, declaration(e.url, fmt.Sprintf(`, "concurrency": %d`, concurrency)))
			for range b.N {
				c.put(uuid.NewString(), 1)
			}
			b.ResetTimer()
			c.start("a")
			e.await(b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
