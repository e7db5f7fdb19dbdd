package main

import (
	"math"

	"gonum.org/v1/gonum/optimize"
)

// A groupCommit is the model of writes. Each of n clients sends a write as soon as its last one
// is answered. A write spends Client in work that goes on beside that of others, and then waits
// for a batch: first for the rest of the one that is under way, then for its own. A batch takes
// Batch, for its syncs and hand-overs, and Item for each write in it. Times are in
// milliseconds.
//
// This is a closed queueing network with a delay station and one server that serves all who
// wait at once, which is why throughput grows with the number of clients until Item is all
// that counts: at most 1/Item.
type groupCommit struct {
	Client, Batch, Item float64
}

// throughput is the writes in a second with n clients.
func (g groupCommit) throughput(n float64) float64 {
	// With k writes in a batch the clients that are needed grow with k: search for the k
	// that n clients make.
	low, high := 1e-6, n
	for range 60 {
		k := (low + high) / 2
		if g.clients(k, n) > n {
			high = k
		} else {
			low = k
		}
	}
	return 1000 * low / g.batch(low)
}

func (g groupCommit) batch(k float64) float64 { return g.Batch + g.Item*k }

// clients are those that are under way if each batch holds k writes: throughput times the time
// of a write (Little's law).
func (g groupCommit) clients(k, n float64) float64 {
	t := g.batch(k)
	wait := t / 2 * (1 - 1/n) // the rest of the batch that is under way, of the others
	return k / t * (g.Client + wait + t)
}

// fit finds the model that is closest to some points, by the squares of relative errors.
func fit(measured []point) groupCommit {
	of := func(x []float64) groupCommit {
		return groupCommit{Client: math.Exp(x[0]), Batch: math.Exp(x[1]), Item: math.Exp(x[2])}
	}
	problem := optimize.Problem{Func: func(x []float64) (sum float64) {
		g := of(x)
		for _, p := range measured {
			off := math.Log(g.throughput(float64(p.Connections)) / p.PerSecond)
			sum += off * off
		}
		return sum
	}}
	best, found := math.Inf(1), groupCommit{}
	for _, start := range [][]float64{{0, 0, -2}, {-1, 0.5, -1.5}, {1, -1, -2}} { // the search finds what is near
		result, err := optimize.Minimize(problem, start, nil, &optimize.NelderMead{})
		if result != nil && (err == nil || result.F < math.Inf(1)) && result.F < best {
			best, found = result.F, of(result.X)
		}
	}
	return found
}

// chosen are every other point and the last one: the model is fitted to these, and must
// reproduce those between.
func chosen(all []point) (fitted, held []point) {
	for i, p := range all {
		if i%2 == 0 || i == len(all)-1 {
			fitted = append(fitted, p)
		} else {
			held = append(held, p)
		}
	}
	return fitted, held
}
