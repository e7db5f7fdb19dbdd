package report

// A Row is one comparison: its subjects do the same work side by side, in rounds.
type Row struct {
	Name string
	// Unit is the unit of the values, such as requests/s or ms.
	Unit string
	// Lower means that a smaller value is better.
	Lower bool
	// Subjects are compared with each other. The first is ClusterLite, or the case that is
	// compared with the others.
	Subjects []string
	// Targets are the values that the first subject must reach, by the subject that it is
	// compared with. The ratio is always the first subject's value divided by the other's. The
	// target for "" applies to the value itself.
	Targets map[string]Target
	// Note explains the row. It is optional.
	Note string
	// Plotted rows appear in the plots.
	Plotted bool
}

// A Target is a ratio or a value. Floor must be reached; Goal is desired.
type Target struct {
	Floor, Goal float64
}

// A Sample is the measurement of one subject in one round.
type Sample struct {
	Value float64 `json:"value"`
	// P50 and P99 are latencies in milliseconds. They are zero if the row has none.
	P50 float64 `json:"p50,omitempty"`
	P99 float64 `json:"p99,omitempty"`
	// CPU is the CPU time of all processes of the subject for one request, in microseconds. It
	// is zero if it was not measured.
	CPU float64 `json:"cpu,omitempty"`
}
