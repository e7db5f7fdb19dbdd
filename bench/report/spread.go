package report

import "slices"

// spread summarizes rounds: the median, the minimum and the maximum.
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

// each returns one value of each sample.
func each(found []Sample, value func(Sample) float64) []float64 {
	all := make([]float64, len(found))
	for i, s := range found {
		all[i] = value(s)
	}
	return all
}

func value(s Sample) float64 { return s.Value }

// ratios returns the ratio in each round. A disturbance of one round affects both sides of its
// ratio.
func ratios(own, other []Sample) []float64 {
	var all []float64
	for i := range min(len(own), len(other)) {
		if other[i].Value > 0 {
			all = append(all, own[i].Value/other[i].Value)
		}
	}
	return all
}

// Reached returns which target, if any, a median reaches.
func (t Target) Reached(median float64, lower bool) string {
	matches := func(wanted float64) bool {
		if lower {
			return median <= wanted
		}
		return median >= wanted
	}
	switch {
	case matches(t.Goal):
		return "goal"
	case matches(t.Floor):
		return "floor"
	}
	return "no"
}
