package telemetry

import "github.com/clusterlite/clusterlite/events"

// Seconds are the buckets of all histograms of durations.
var Seconds = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

const (
	admitted = "admitted"
	// Passed is the label of barriers, which are valid and change nothing.
	Passed = "passed"
)

// Verdict returns the label of a verdict.
func Verdict(v events.Verdict) string {
	switch v.Outcome {
	case events.Admitted:
		return admitted
	case events.Passed:
		return Passed
	default:
		return string(v.Reason)
	}
}

// Verdicts are the names of all verdicts that an event can get.
func Verdicts() []string {
	return []string{
		admitted, string(events.ReasonMalformed), string(events.ReasonDuplicate),
		string(events.ReasonConflict), string(events.ReasonTaken),
	}
}
