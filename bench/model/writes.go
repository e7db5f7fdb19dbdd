package main

// A batchCost is the model of the processor time of a write. Appends, fetches and transactions
// are done for all writes that wait at that moment: Batch is what they cost together, and Item
// is what each write costs besides. Times are in microseconds.
//
// With n clients, of which each sends its next write once the last one is answered, half of
// them are in the batch that is under way, and the others wait for the next one.
type batchCost struct {
	Batch, Item float64
}

// cpu is the processor time of one write with n clients.
func (c batchCost) cpu(n float64) float64 { return c.Item + c.Batch/max(1, n/2) }

// fit finds the model that is closest to some points, by the squares of relative errors.
func fit(measured []point) batchCost {
	// Each point says 1 = Item*a + Batch*b, with a and b as below: linear least squares.
	var aa, ab, bb, a1, b1 float64
	for _, p := range measured {
		a := 1 / p.CPU
		b := a / max(1, float64(p.Connections)/2)
		aa, ab, bb, a1, b1 = aa+a*a, ab+a*b, bb+b*b, a1+a, b1+b
	}
	d := aa*bb - ab*ab
	return batchCost{Item: (a1*bb - b1*ab) / d, Batch: (b1*aa - a1*ab) / d}
}

// chosen are every other point: the model is fitted to these, and must reproduce the others,
// which are held back.
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
