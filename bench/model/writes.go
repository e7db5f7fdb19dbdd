package main

import "math"

// A batchCost is the model of the processor time of a write. Appends, fetches and transactions
// are done for all writes that wait at that moment. Batch is their common cost, and Item is the
// additional cost of each write. Times are in microseconds.
type batchCost struct {
	Batch, Item float64
}

// cpu returns the processor time of one write with n clients.
func (c batchCost) cpu(n float64) float64 { return c.Item + c.Batch/group(n) }

// group returns the number of writes in a batch, if each of n clients sends its next write once the last
// one is answered. A batch waits for all clients, or for a third of them if there are many
// (docs/decisions/2026-11-28-embedded-linger.md).
func group(n float64) float64 {
	const few = 32 // the number of clients up to which a batch waits for all of them
	all := func(n float64) float64 { return n - math.Floor(n/8) }
	if n <= few {
		return all(n)
	}
	return max(all(few), n/3)
}

// fit returns the model that is closest to the points, by the squares of the relative errors.
func fit(measured []point) batchCost {
	// Each point gives the equation 1 = Item*a + Batch*b, with a and b as below. The solution
	// is a linear least-squares fit.
	var aa, ab, bb, a1, b1 float64
	for _, p := range measured {
		a := 1 / p.CPU
		b := a / group(float64(p.Connections))
		aa, ab, bb, a1, b1 = aa+a*a, ab+a*b, bb+b*b, a1+a, b1+b
	}
	d := aa*bb - ab*ab
	return batchCost{Item: (a1*bb - b1*ab) / d, Batch: (b1*aa - a1*ab) / d}
}

// chosen returns every other point, which the model is fitted to, and the points in between,
// which it must predict.
func chosen(all []point) (fitted, held []point) {
	for i, p := range all {
		if i%2 == 0 {
			fitted = append(fitted, p)
		} else {
			held = append(held, p)
		}
	}
	return fitted, held
}
