package node

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/node/snapshots"
)

// startRebuild answers POST /rebuild. The query may carry keep, back, force (true or
// false), rate (records a second), and from (where to look for a snapshot to start from).
func (n *Node) startRebuild(w http.ResponseWriter, r *http.Request) {
	options, err := n.rebuildOptions(r.URL.RawQuery)
	if err != nil {
		admin.WriteProblem(w, problem.MalformedRequest.New(err.Error()))
		return
	}
	if err := n.Model.StartRebuild(options); err != nil {
		admin.WriteProblem(w, problem.RebuildRefused.New(err.Error()))
		return
	}
	status, _ := n.Model.Rebuild()
	w.Header().Set("Location", "/rebuild")
	admin.Answer(w, http.StatusAccepted, status)
}

func (n *Node) rebuildOptions(query string) (o projections.RebuildOptions, err error) {
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return o, fmt.Errorf("malformed query string: %w", err)
	}
	for name, values := range parameters {
		value := values[len(values)-1]
		var err error
		switch name {
		case "keep":
			o.Keep, err = strconv.ParseBool(value)
		case "back":
			o.Back, err = strconv.ParseBool(value)
		case "force":
			o.Force, err = strconv.ParseBool(value)
		case "rate":
			o.Rate, err = strconv.Atoi(value)
		case "from":
			o.From = snapshots.Finder{Sources: values, Providers: n.Stores, Access: n.access, Log: n.Log, Logger: n.Logger}.Save
		default:
			return o, fmt.Errorf("unknown parameter %q; allowed: keep, back, force, rate and from", name)
		}
		if err != nil {
			return o, fmt.Errorf("the parameter %s is %q; keep, back and force must be true or false, and rate a whole number", name, value)
		}
	}
	return o, o.Validate()
}

// showRebuild answers GET /rebuild.
func (n *Node) showRebuild(w http.ResponseWriter, _ *http.Request) {
	status, any := n.Model.Rebuild()
	if !any {
		admin.WriteProblem(w, problem.NotFound.New("No rebuild was started since the process started."))
		return
	}
	admin.Answer(w, http.StatusOK, status)
}

// cancelRebuild answers DELETE /rebuild, once the rebuild has ended.
func (n *Node) cancelRebuild(w http.ResponseWriter, r *http.Request) {
	if !n.Model.CancelRebuild() {
		admin.WriteProblem(w, problem.RebuildRefused.New("No rebuild is running."))
		return
	}
	n.showRebuild(w, r)
}
