package faults_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/faults"
)

func TestMain(m *testing.M) { cluster.Main(m) }

// TestFaults injects faults into a cluster for CLUSTERLITE_FAULTS_TIME, with the seed
// CLUSTERLITE_FAULTS_SEED or a random one, on the broker that CLUSTERLITE_FAULTS_BROKER names. It
// writes pages that show violations to CLUSTERLITE_FAULTS_DIR, if that is set.
func TestFaults(t *testing.T) {
	given := os.Getenv("CLUSTERLITE_FAULTS_TIME")
	if given == "" {
		t.Skip("CLUSTERLITE_FAULTS_TIME is not set: see make faults")
	}
	run := &faults.Run{Seed: rand.Uint64N(1 << 32), Dir: os.Getenv("CLUSTERLITE_FAULTS_DIR")}
	var err error
	if run.Time, err = time.ParseDuration(given); err != nil {
		t.Fatalf("CLUSTERLITE_FAULTS_TIME must be a duration such as 10m: %v", err)
	}
	switch broker := os.Getenv("CLUSTERLITE_FAULTS_BROKER"); broker {
	case "", "kafka":
	case "embedded":
		run.Embedded = true
	default:
		t.Fatalf("CLUSTERLITE_FAULTS_BROKER must be kafka or embedded, not %q", broker)
	}
	if seed := os.Getenv("CLUSTERLITE_FAULTS_SEED"); seed != "" {
		if run.Seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
			t.Fatalf("CLUSTERLITE_FAULTS_SEED must be a whole number: %v", err)
		}
	}
	t.Logf("seed %d, for %s", run.Seed, run.Time)
	report := run.Play(t)
	fmt.Printf("\n%s\n", report.Markdown()) // in the form of docs/explanation/reliability.md
}
