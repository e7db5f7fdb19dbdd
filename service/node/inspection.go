package node

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/digest"
	"github.com/clusterlite/clusterlite/projections/reads"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// The answers of the admin listener about a node's read model. Their JSON is part of the
// admin interface.
type (
	// Voids are the newest records that admission rejected.
	Voids struct {
		Node     string          `json:"node"`
		Position events.Position `json:"position"`
		// Counts are the numbers of all void records so far, by reason.
		Counts map[events.Reason]int64 `json:"counts"`
		Voids  []VoidRecord            `json:"voids"`
	}
	// VoidRecord is one void record. At is the broker's time in events.TimeFormat.
	VoidRecord struct {
		reads.VoidRecord
		At string `json:"at"`
	}
	// Digests are the digests of the collections at a position.
	Digests struct {
		Node        string             `json:"node"`
		Position    events.Position    `json:"position"`
		Collections map[string]Summary `json:"collections"`
	}
	// Summary describes one collection.
	Summary struct {
		Entities int64  `json:"entities"`
		Digest   string `json:"digest"`
	}
)

const (
	defaultVoids = 100
	maxVoids     = 10_000
	// defaultWait and maxWait bound how long a node may take to reach a position.
	defaultWait = 10 * time.Second
	maxWait     = time.Minute
)

func (n *Node) voids(w http.ResponseWriter, r *http.Request) {
	limit, err := number(r, "limit", defaultVoids, 1, maxVoids)
	if err != nil {
		admin.WriteProblem(w, problem.From(err))
		return
	}
	counts, err := n.Model.VoidCounts(r.Context())
	if err != nil {
		admin.WriteProblem(w, problem.Internal.New(err.Error()))
		return
	}
	newest, err := n.Model.Voids(r.Context(), int(limit))
	if err != nil {
		admin.WriteProblem(w, problem.Internal.New(err.Error()))
		return
	}
	answer := Voids{Node: n.NodeID, Position: n.Model.Position(), Counts: counts, Voids: []VoidRecord{}}
	for _, v := range newest {
		answer.Voids = append(answer.Voids, VoidRecord{v, events.FormatTime(time.UnixMilli(v.At))})
	}
	admin.Answer(w, http.StatusOK, answer)
}

// listKeys answers with the API keys at a position.
func (n *Node) listKeys(w http.ResponseWriter, r *http.Request) {
	if _, err := n.reach(r); err != nil {
		admin.WriteProblem(w, problem.From(err))
		return
	}
	answer, err := n.keys.List(r.Context())
	if err != nil {
		admin.WriteProblem(w, problem.Internal.New(err.Error()))
		return
	}
	answer.Node = n.NodeID
	admin.Answer(w, http.StatusOK, answer)
}

// digests answers with the digests at a checkpoint in the log.
func (n *Node) digests(w http.ResponseWriter, r *http.Request) {
	position, err := n.reach(r)
	if err == nil && position == 0 {
		err = problem.MalformedRequest.New("The parameter position is required: the position of a checkpoint in the log.")
	}
	if err != nil {
		admin.WriteProblem(w, problem.From(err))
		return
	}
	summaries, err := n.Model.SummariesAt(position)
	if err != nil {
		admin.WriteProblem(w, problem.NotFound.New(err.Error()))
		return
	}
	answer := Digests{Node: n.NodeID, Position: position, Collections: map[string]Summary{}}
	for name, s := range summaries {
		answer.Collections[name] = summary(s)
	}
	admin.Answer(w, http.StatusOK, answer)
}

// reach waits until the node is at the position in the request, if it has one, for at most
// the time in the request. The error is a problem.
func (n *Node) reach(r *http.Request) (events.Position, error) {
	first, err := number(r, "position", 0, 1, math.MaxInt64)
	if err != nil {
		return 0, err
	}
	wait := defaultWait
	if text := r.URL.Query().Get("wait"); text != "" {
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 || wait > maxWait {
			return 0, problem.MalformedRequest.New("The parameter wait must be a duration of at most " + maxWait.String() + ".")
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	position := events.Position(first)
	switch err := n.Model.WaitFor(ctx, position); {
	case err != nil && n.Model.Stuck() != nil:
		return 0, problem.NotReady.New(n.Model.Stuck().Error())
	case err != nil:
		why := n.Model.Ready(n.ReadyLag)
		if why == nil {
			why = err
		}
		return 0, problem.ReadModelBehind.New("The node is at position " + strconv.FormatInt(int64(n.Model.Position()), 10) + ": " + why.Error())
	}
	return position, nil
}

func summary(s digest.Summary) Summary { return Summary{s.Living, s.Digest.String()} }

// number reads a parameter that is a whole number.
func number(r *http.Request, name string, otherwise, minimum, maximum int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < minimum || n > maximum {
		return 0, problem.MalformedRequest.New("The parameter " + name + " must be a number from " + strconv.FormatInt(minimum, 10) + " to " + strconv.FormatInt(maximum, 10) + ".")
	}
	return n, nil
}
