package nodes

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// patience is how long Each waits before it reports which nodes it is waiting for.
const patience = time.Second

// Each asks all nodes at once. It returns all results once every node has answered or failed.
// If that takes more than a second, it reports to w which nodes it is waiting for, and again
// when fewer remain. ask is called from many goroutines.
func Each(ctx context.Context, w io.Writer, all []Node, ask func(ctx context.Context, i int, n Node) error) []error {
	errs := make([]error, len(all))
	answered := make(chan int, len(all))
	var asked sync.WaitGroup
	for i, n := range all {
		asked.Go(func() {
			errs[i] = ask(ctx, i, n)
			answered <- i
		})
	}
	tick := time.NewTicker(patience)
	defer tick.Stop()
	missing, shown := make([]bool, len(all)), ""
	for i := range missing {
		missing[i] = true
	}
	for slices.Contains(missing, true) {
		select {
		case i := <-answered:
			missing[i] = false
		case <-tick.C:
			if now := waitingFor(all, missing); now != shown {
				_, _ = fmt.Fprintln(w, now) // a failed report does not stop the work
				shown = now
			}
		}
	}
	asked.Wait()
	return errs
}

func waitingFor(all []Node, missing []bool) string {
	var names []string
	for i, n := range all {
		if missing[i] {
			names = append(names, fmt.Sprintf("%s at %s", n.Node, n.Admin))
		}
	}
	return "waiting for " + strings.Join(names, ", ")
}
