// Package sqlmodels connects the read models in SQL of a node with its admin listener and its
// metrics.
package sqlmodels

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/fulltext"
	"github.com/clusterlite/clusterlite/projections/modelset"
	"github.com/clusterlite/clusterlite/projections/sqlmodel"
	"github.com/clusterlite/clusterlite/service/httpapi/access"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Open opens the read models of a folder, which may be empty, and those of the full-text search, of which
// dir has the files, on a node whose journal has the events. Only those of the declared collections
// reach a model. It returns nil if there is neither a folder nor a collection to search.
func Open(ctx context.Context, folder, dir string, declared *collections.Set, model *projections.Projection, logger *slog.Logger) (*modelset.Set, error) {
	builtin, err := fulltext.Definitions(ctx, declared)
	if errors.Is(err, sqlmodel.ErrNoFullText) {
		logger.Warn("the full-text search that collections declare with x-search is not available", "error", err)
	} else if err != nil {
		return nil, err
	}
	if folder == "" && len(builtin) == 0 {
		return nil, nil
	}
	is, err := model.Status(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range declared.All() {
		names = append(names, c.Name())
	}
	set, err := modelset.Open(ctx, modelset.Options{
		Folder: folder, Builtin: builtin, Dir: dir, Collections: names, Source: modelset.FromJournal(model), Log: is.TopicID, Check: checkModel, Logger: logger,
	})
	if err != nil {
		return nil, fmt.Errorf("the read models of --models-dir (CLUSTERLITE_MODELS_DIR): %w", err)
	}
	return set, nil
}

// checkModel checks what package sqlmodel does not know: the expression that says who may read a
// model.
func checkModel(d *sqlmodel.Definition) error {
	if d.Access == "" {
		return nil
	}
	_, err := access.CompileCaller(d.Access)
	return err
}

// Statuses describes the models of a set, which may be nil.
func Statuses(set *modelset.Set) (all []modelset.Status) {
	if set == nil {
		return nil
	}
	for _, m := range set.All() {
		all = append(all, m.Status())
	}
	return all
}

// List is the answer of /models.
type List struct {
	Node   string            `json:"node"`
	Models []modelset.Status `json:"models"`
}

// Digest is the answer of /models/digest. Two nodes whose models were changed last at the same
// position have the same digest.
type Digest struct {
	Node     string          `json:"node"`
	Model    string          `json:"model"`
	Hash     string          `json:"hash"`
	Position events.Position `json:"position"`
	Changed  events.Position `json:"changed"`
	Digest   string          `json:"digest"`
	// Skipped are the positions of the events that this definition skips on the node.
	Skipped []events.Position `json:"skipped,omitempty"`
}

type resources struct {
	node string
	set  *modelset.Set
}

// Resources are the resources of the admin listener of a node for a set of models, which may be nil.
func Resources(node string, set *modelset.Set) map[string]admin.Methods {
	n := resources{node, set}
	return map[string]admin.Methods{
		"/models": {http.MethodGet: func(w http.ResponseWriter, _ *http.Request) {
			all := Statuses(n.set)
			if all == nil {
				all = []modelset.Status{}
			}
			admin.Answer(w, http.StatusOK, List{n.node, all})
		}},
		"/models/rebuild": {
			http.MethodPost:   n.forModel(func(_ *http.Request, m *modelset.Model) (any, error) { return nil, m.Rebuild() }),
			http.MethodDelete: n.forModel(func(_ *http.Request, m *modelset.Model) (any, error) { return nil, m.Cancel() }),
		},
		"/models/retry": {http.MethodPost: n.forModel(func(_ *http.Request, m *modelset.Model) (any, error) { return nil, m.Retry() })},
		"/models/skip": {http.MethodPost: n.forModel(func(r *http.Request, m *modelset.Model) (any, error) {
			position, err := strconv.ParseInt(r.URL.Query().Get("position"), 10, 64)
			if err != nil {
				return nil, problem.MalformedRequest.New("position must be that of the event to skip, as the status of the model shows it.")
			}
			return m.Skip(events.Position(position))
		})},
		"/models/digest": {http.MethodGet: n.forModel(n.digestOfModel)},
	}
}

// forModel answers a request for the model that its parameter name names, with the model's status
// if do has no other answer.
func (n resources) forModel(do func(*http.Request, *modelset.Model) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var m *modelset.Model
		known := false
		if n.set != nil {
			m, known = n.set.Get(r.URL.Query().Get("name"))
		}
		if !known {
			admin.WriteProblem(w, problem.NotFound.New("No read model of this node has this name."))
			return
		}
		answer, err := do(r, m)
		switch {
		case errors.Is(err, modelset.ErrNotStopped), errors.Is(err, modelset.ErrNoBuild), errors.Is(err, modelset.ErrBuilding):
			admin.WriteProblem(w, problem.RebuildRefused.New(err.Error()+"."))
		case err != nil:
			admin.WriteProblem(w, problem.From(err))
		case answer == nil:
			admin.Answer(w, http.StatusOK, m.Status())
		default:
			admin.Answer(w, http.StatusOK, answer)
		}
	}
}

// digestOfModel reads all rows of the model that serves.
func (n resources) digestOfModel(r *http.Request, m *modelset.Model) (any, error) {
	tx, release, err := m.Begin(r.Context())
	if err != nil {
		return nil, err
	}
	defer release()
	defer func() { _ = tx.Close() }() // it only reads
	sum, err := tx.Digest(r.Context())
	if err != nil {
		return nil, err
	}
	answer := Digest{Node: n.node, Model: m.Name(), Hash: tx.Hash, Position: tx.At, Changed: tx.Changed, Digest: sum.String()}
	for _, skip := range m.Status().Skips {
		if skip.Hash == tx.Hash {
			answer.Skipped = append(answer.Skipped, skip.Position)
		}
	}
	return answer, nil
}

// metrics collects the metrics of the models, at each scrape.
type metrics struct{ models *modelset.Set }

// Metrics returns the collector of the metrics of a set.
func Metrics(set *modelset.Set) prometheus.Collector { return metrics{set} }

func modelDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("clusterlite_model_"+name, help, append([]string{"model"}, labels...), nil)
}

var (
	modelPositionDesc = modelDesc("position", "Position in the log up to which a read model in SQL has applied the events.")
	modelLagDesc      = modelDesc("lag_events", "Records that the node has applied and a read model in SQL has not.")
	modelStoppedDesc  = modelDesc("stopped", "1 while a read model in SQL has stopped because a statement failed; /status has the event and the statement.")
	modelBuildingDesc = modelDesc("building", "1 while a read model in SQL is built beside the one that serves, or for the first time.")
	modelSkipsDesc    = modelDesc("skipped_events", "Events that a read model in SQL ever skipped on this node.")
)

// Describe implements [prometheus.Collector].
func (metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{modelPositionDesc, modelLagDesc, modelStoppedDesc, modelBuildingDesc, modelSkipsDesc} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c metrics) Collect(ch chan<- prometheus.Metric) {
	for _, m := range c.models.All() {
		s := m.Status()
		gauge := func(d *prometheus.Desc, value float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, s.Model)
		}
		stopped := false
		for _, b := range []*modelset.BuildStatus{s.Serving, s.Building} {
			stopped = stopped || b != nil && b.State == modelset.Stopped
		}
		if of := s.Serving; of != nil {
			gauge(modelPositionDesc, float64(of.Position))
			gauge(modelLagDesc, float64(of.End-of.Position))
		}
		gauge(modelStoppedDesc, bit(stopped))
		gauge(modelBuildingDesc, bit(s.Building != nil))
		gauge(modelSkipsDesc, float64(len(s.Skips)))
	}
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
