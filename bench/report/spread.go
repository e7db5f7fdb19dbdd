package report

import "slices"

// spread sums up rounds: the median, the lowest and the highest.
type spread struct{ median, low, high float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := sorted[len(sorted)/2]
	if len(sorted)%2 == 0 {
		middle = (sorted[len(sorted)/2-1] + middle) / 2
	}
	return spread{middle, sorted[0], sorted[len(sorted)-1]}
}

// each takes one value of each sample.
func each(found []Sample, value func(Sample) float64) []float64 {
	all := make([]float64, len(found))
	for i, s := range found {
		all[i] = value(s)
	}
	return all
}

func value(s Sample) float64 { return s.Value }

// ratios are those of each round: what disturbs one round disturbs both sides of it.
func ratios(own, other []Sample) []float64 {
	var all []float64
	for i := range min(len(own), len(other)) {
		if other[i].Value > 0 {
			all = append(all, own[i].Value/other[i].Value)
		}
	}
	return all
}

// Reached reports which target, if any, a median reaches.
func (t Target) Reached(median float64, lower bool) string {
	meets := func(wanted float64) bool {
		if lower {
			return median <= wanted
		}
		return median >= wanted
	}
	switch {
	case meets(t.Goal):
		return "goal"
	case meets(t.Floor):
		return "floor"
	}
	return "no"
}
