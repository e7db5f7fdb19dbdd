package main

import (
	"context"
	"errors"
	"regexp"
	"slices"

	"github.com/clusterlite/clusterlite/bench/report"
	"github.com/clusterlite/clusterlite/bench/subjects"
)

// A row is one comparison of the report: its subjects do the same work side by side, in rounds.
// To measure another row, add it to [rows].
type row struct {
	name string
	// unit is the unit of the values, such as "requests/s" or "ms".
	unit string
	// lower means that a smaller value is better.
	lower bool
	// subjects are compared with each other. The first is ClusterLite, or the case that is
	// compared with the others.
	subjects []string
	// targets are the values that the first subject must reach, by the subject that it is
	// compared with. The ratio is always the first subject's value divided by the other's. The
	// target for "" applies to the value itself.
	targets map[string]target
	// A quick run leaves out slow rows.
	slow bool
	// missing describes what this machine lacks for the row; nil if it needs nothing.
	missing func() string
	// note explains the row in the report. It is optional.
	note string
	// run is a method of the bench, or a function like one. It measures all subjects in turn,
	// b.rounds times each, and records the results.
	run func(b *bench, ctx context.Context, record recordFunc) error
}

// A target is the value that a row must reach.
type target struct{ Floor, Goal float64 }

// These are types of the report that rows and measurements use.
type (
	sample  = report.Sample
	result  = report.Result
	results = report.Results
)

// recordFunc records a sample of a subject. It is called from one goroutine.
type recordFunc func(subject string, s sample)

// errMissing means that this machine lacks something that a row needs.
var errMissing = errors.New("not measured")

// rows returns all rows, in the order of the report.
func rows() []row {
	return slices.Concat(readRows(), ruleRows(), writeRows(), clusterRows(), latencyRows(), besideRows(), importRows(), largeRows(), fileRows(), modelRows())
}

// chosen returns the rows whose name matches. A quick run leaves out the slow ones.
func chosen(all []row, only *regexp.Regexp, quick bool) []row {
	return slices.DeleteFunc(slices.Clone(all), func(r row) bool {
		return !only.MatchString(r.name) || quick && r.slow
	})
}

// shown converts rows for the report.
func shown(rows []row) (all []report.Row) {
	for _, r := range rows {
		targets := map[string]report.Target{}
		for against, t := range r.targets {
			targets[against] = report.Target(t)
		}
		all = append(all, report.Row{
			Name: r.name, Unit: r.unit, Lower: r.lower, Subjects: r.subjects, Targets: targets, Note: r.note,
			Plotted: r.unit == requestsPerSecond && r.name != modelRow,
		})
	}
	return all
}

// subjectsText describes the subjects at the end of the report.
var subjectsText = `## Subjects

All of them, and the programs that load them, run on the machine over loopback. wrk loads with two
threads; what is read or written is a document of about 170 bytes with a unique e-mail address.

- **` + subjects.ClusterLiteName + `**: ` + "`clusterlite serve`" + `, one process with its embedded broker. A write is on
  the disk before it is acknowledged.
- **` + subjects.ClusterName + `**: behind Nginx with the shipped ` + "`nginx.conf`" + `, on three
  brokers of Apache Kafka with three replicas.
- **` + subjects.SecuredName + `** and **` + subjects.RuledName + `**: the same, with clients that
  send an API key. With the rule ` + "`old.owner == auth.sub`" + `, they read what they own, which is all
  entities.
- **` + subjects.WithoutJournalName + `**: the same with ` + "`CLUSTERLITE_JOURNAL=off`" + `.
- **` + subjects.RqliteName + `**: one node, or three with the load on the leader. A write is on the disk
  before it is acknowledged. ` + "`eventual`" + ` is compared with its level ` + "`none`" + `, ` + "`strong`" + ` with
  ` + "`linearizable`" + `, ` + "`linearizable`" + ` with ` + "`strong`" + `.
- **` + subjects.PocketBaseName + `**: its example program, built with ` + "`synchronous=FULL`" + ` so that a write is on
  the disk before it is acknowledged. **` + subjects.PocketBaseUnsyncedName + `** is the program as it
  comes, which can lose acknowledged writes when the power fails.
- **` + subjects.BareName + `**: an Echo handler that answers the same bytes and does nothing else.
- **` + subjects.NaiveName + `**: an Echo handler that commits each write to SQLite on its own, synced.
- **` + subjects.RawName + `**: records of an event's size, appended to the broker of ` + "`clusterlite serve`" + `
  by Watermill's own Kafka publisher, with nothing that reads them.
- **` + smallStoreName + `** and **` + largeStoreName + `**: the same store with few and with many entities.
`
