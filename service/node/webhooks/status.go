package webhooks

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/events"
)

// Status is a webhook as one node knows it. Its JSON is part of the admin interface.
type Status struct {
	Name string `json:"name"`
	// Endpoint is the URL without its path and query, which may hold secrets.
	Endpoint string `json:"endpoint"`
	// State is that in the log, Reason why it is not active, and Since when that was decided.
	State  State      `json:"state"`
	Reason string     `json:"reason,omitempty"`
	Since  *time.Time `json:"since,omitempty"`
	// Node is the node that delivers, and Cursor the position in the log up to which it has, or
	// has recorded what it could not deliver. Node is empty if none does.
	Node   string          `json:"node"`
	Cursor events.Position `json:"cursor"`
	// Retrying and Parked are the numbers of events at or before Cursor that are not delivered.
	Retrying int `json:"retrying"`
	Parked   int `json:"parked"`
	// Problem says why this node does not deliver although it may have to.
	Problem string `json:"problem,omitempty"`
	// Delivery is what only the node that delivers knows; null on other nodes.
	Delivery *Delivery `json:"delivery"`
}

// Summary describes the state in one word: that in the log, idle for an active webhook that no node
// delivers, or failing for one whose endpoint accepts nothing. Ask the node that delivers.
func (s Status) Summary() string {
	switch {
	case s.State == Active && s.Delivery == nil:
		return "idle"
	case s.State == Active && s.Delivery.Down:
		return "failing"
	}
	return string(s.State)
}

// Lag describes how far the delivery is behind, for people: "-" if this node does not deliver.
func (s Status) Lag() string {
	if s.Delivery == nil {
		return "-"
	}
	lag := time.Duration(s.Delivery.LagSeconds*1000) * time.Millisecond
	return fmt.Sprintf("%d, %s", s.Delivery.LagEvents, lag.Round(time.Second))
}

// Delivery is the work of the node that delivers a webhook.
type Delivery struct {
	// Position is the position up to which all events are delivered or recorded. The log has it
	// some seconds later, as the cursor.
	Position events.Position `json:"position"`
	// LagEvents is the number of records that the node has applied after Position. LagSeconds is
	// the age of the oldest event that is neither delivered nor parked.
	LagEvents  int64   `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`
	// Down reports that the endpoint accepts nothing, so that only one event is tried at a time.
	Down bool `json:"endpoint_down"`
	// LastSuccess and LastFailure are those since the process started.
	LastSuccess *time.Time `json:"last_success"`
	LastFailure *Failure   `json:"last_failure"`
}

// Failure is a failed request.
type Failure struct {
	At      time.Time `json:"at"`
	Problem string    `json:"problem"`
}

// Parked is an event that a webhook gave up.
type Parked struct {
	Event      string          `json:"event"`
	Position   events.Position `json:"position"`
	Collection string          `json:"collection"`
	Entity     string          `json:"entity"`
	Attempts   int             `json:"attempts"`
	First      *time.Time      `json:"first_attempt"`
	Last       *time.Time      `json:"last_attempt"`
	Problem    string          `json:"problem"`
}

// List is the answer of /webhooks.
type List struct {
	Node string `json:"node"`
	// Position is the position for which the records are valid.
	Position events.Position `json:"position"`
	// Mistake says why the changed file can't be used; empty if it can.
	Mistake  string   `json:"mistake,omitempty"`
	Webhooks []Status `json:"webhooks"`
}

// List describes the webhooks of the node, sorted by name.
func (s *Set) List(ctx context.Context) (List, error) {
	s.mu.Lock()
	runners := make([]*runner, 0, len(s.runners))
	for _, r := range s.runners {
		runners = append(runners, r.runner)
	}
	answer := List{Node: s.options.Node, Mistake: s.mistake, Webhooks: []Status{}}
	s.mu.Unlock()
	slices.SortFunc(runners, func(a, b *runner) int { return strings.Compare(a.webhook.Name, b.webhook.Name) })
	for _, r := range runners {
		of, at, err := s.ledger.of(ctx, r.webhook.Name)
		if err != nil {
			return answer, err
		}
		answer.Position = at
		answer.Webhooks = append(answer.Webhooks, r.describe(of))
	}
	return answer, nil
}

func (r *runner) describe(of *records) Status {
	r.mu.Lock()
	is := r.status
	r.mu.Unlock()
	c, p := of.control, of.progress.record
	s := Status{
		Name: r.webhook.Name, Endpoint: r.webhook.endpoint(), State: c.record.State, Reason: c.record.Reason, Node: p.Node, Cursor: p.Cursor, Problem: is.problem,
	}
	if c.version > 0 {
		s.Since = &c.record.At
	}
	if s.State != Active {
		s.Node = ""
	}
	for _, d := range of.deliveries {
		if d.record.State == parked {
			s.Parked++
		} else {
			s.Retrying++
		}
	}
	if is.delivering {
		s.Delivery = &Delivery{Position: is.cursor, LagEvents: is.lag, LagSeconds: age(is.oldest), Down: is.down, LastSuccess: is.success, LastFailure: is.failure}
	}
	return s
}

func age(since time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return max(0, time.Since(since).Seconds())
}
