package webhooks

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Replayed is the answer of /webhooks/replay.
type Replayed struct {
	Webhook string `json:"webhook"`
	// Events is the number of parked events that are delivered again. From is the position after
	// which all events are delivered again; null if that was not asked for.
	Events int              `json:"events"`
	From   *events.Position `json:"from"`
}

// Resources are the resources of the admin listener of a node for its webhooks.
func (s *Set) Resources() map[string]admin.Methods {
	return map[string]admin.Methods{
		"/webhooks": {http.MethodGet: answer(func(r *http.Request) (any, error) { return s.List(r.Context()) })},
		"/webhooks/parked": {http.MethodGet: answer(func(r *http.Request) (any, error) {
			return s.Parked(r.Context(), name(r))
		})},
		"/webhooks/pause": {http.MethodPost: answer(func(r *http.Request) (any, error) {
			return s.after(r, s.Decide(r.Context(), name(r), Paused, r.URL.Query().Get("reason")))
		})},
		"/webhooks/resume": {http.MethodPost: answer(func(r *http.Request) (any, error) {
			return s.after(r, s.Decide(r.Context(), name(r), Active, ""))
		})},
		"/webhooks/replay": {http.MethodPost: answer(s.replay)},
	}
}

func name(r *http.Request) string { return r.URL.Query().Get("name") }

// after answers with the webhook after an action.
func (s *Set) after(r *http.Request, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	list, err := s.List(r.Context())
	if err != nil {
		return nil, err
	}
	for _, w := range list.Webhooks {
		if w.Name == name(r) {
			return w, nil
		}
	}
	return nil, ErrUnknown
}

func (s *Set) replay(r *http.Request) (any, error) {
	done := Replayed{Webhook: name(r)}
	q := r.URL.Query()
	if text := q.Get("from"); text != "" {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return nil, problem.MalformedRequest.New("from must be a position of the log.")
		}
		from := events.Position(n)
		done.From = &from
		return done, s.Rewind(r.Context(), name(r), from)
	}
	var ids []string
	if text := q.Get("event"); text != "" {
		ids = strings.Split(text, ",")
	}
	var err error
	done.Events, err = s.Replay(r.Context(), name(r), ids)
	return done, err
}

// answer answers an admin request.
func answer(do func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := do(r)
		switch {
		case errors.Is(err, ErrUnknown), errors.Is(err, ErrNotParked):
			admin.WriteProblem(w, problem.NotFound.New(err.Error()+"."))
		case errors.Is(err, ErrBeyond):
			admin.WriteProblem(w, problem.MalformedRequest.New(err.Error()+"."))
		case err != nil:
			admin.WriteProblem(w, problem.From(err))
		default:
			admin.Answer(w, http.StatusOK, v)
		}
	}
}
