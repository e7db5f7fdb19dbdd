package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/clusterlite/clusterlite/e2e/history"
)

// A meaning is what an answer says about its request.
type meaning int

const (
	// decided: the answer contains the outcome of the operation.
	decided meaning = iota
	// refused: nothing was done, and the answer contains no outcome.
	refused
	// unknown: the operation may have been done, or may still be done.
	unknown
	// inFlight: the first request with this idempotency key is still in progress.
	inFlight
	// wrong: no store that keeps its promises gives this answer.
	wrong
)

// An answer is a client's interpretation of a response, or of a missing one.
type answer struct {
	meaning meaning
	// outcome, entity and position are those of the operation, if the answer contains them.
	outcome  history.Outcome
	entity   history.Entity
	position int64
	// label is the consistency that the answer to a read reports.
	label string
	// said is the kind of problem, or a description of what is wrong.
	said string
}

const readPatience, writePatience = 4 * time.Second, 8 * time.Second

// A sender sends the requests of one client. It is not safe for concurrent use.
type sender struct{ reads, writes *http.Client }

func newSender() sender {
	transport := &http.Transport{MaxIdleConnsPerHost: 1}
	return sender{&http.Client{Transport: transport, Timeout: readPatience}, &http.Client{Transport: transport, Timeout: writePatience}}
}

func (s sender) close() { s.reads.CloseIdleConnections() }

// send sends an operation to a base URL. This code sends it once; net/http may repeat it.
func (s sender) send(base string, o history.Operation, headers ...string) answer {
	r, err := request(base, o, headers...)
	if err != nil {
		return answer{meaning: wrong, said: err.Error()}
	}
	client := s.writes
	if r.Method == http.MethodGet {
		client = s.reads
	}
	response, err := client.Do(r)
	if err != nil {
		return broken(r, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return broken(r, err)
	}
	return interpret(o, response, body)
}

func request(base string, o history.Operation, headers ...string) (*http.Request, error) {
	method, path := http.MethodGet, "/users/"+o.ID
	var body io.Reader = http.NoBody
	switch o.Kind {
	case history.Create:
		method, path = http.MethodPost, "/users"
	case history.Replace:
		method = http.MethodPut
	case history.Patch:
		method = http.MethodPatch
	case history.Delete:
		method = http.MethodDelete
	case history.Restore:
		method, path = http.MethodPost, path+"/restore"
	case history.Find:
		path = "/users?limit=2&email=" + url.QueryEscape(o.Email)
	}
	if o.Model {
		path = "/models/mirror/users?limit=2&"
		if o.Kind == history.Find {
			path += "email=" + url.QueryEscape(o.Email)
		} else {
			path += "id=" + url.QueryEscape(o.ID)
		}
	}
	if o.Kind == history.Restore {
		body = strings.NewReader(fmt.Sprintf(`{"version":%d}`, o.Of))
	} else if method != http.MethodGet && method != http.MethodDelete {
		b, err := json.Marshal(struct {
			Name  string `json:"name,omitempty"`
			Email string `json:"email,omitempty"`
		}{o.Name, o.Email})
		if err != nil {
			return nil, err
		}
		body = strings.NewReader(string(b))
	}
	r, err := http.NewRequest(method, base+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if o.Match != 0 {
		r.Header.Set("If-Match", fmt.Sprintf(`"%d"`, o.Match))
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return r, nil
}

// broken interprets a missing answer. A request was certainly not carried out only if it was
// not even sent. net/http may have sent a request with an idempotency key twice, so the last
// error may not be the only one.
func broken(r *http.Request, err error) answer {
	var op *net.OpError
	unsent := errors.As(err, &op) && op.Op == "dial" && r.Header.Get("Idempotency-Key") == ""
	if r.Method == http.MethodGet || unsent {
		return answer{meaning: refused, said: "no connection"}
	}
	return answer{meaning: unknown, said: "no answer"}
}

// interpret interprets an answer. Each status that the API defines for the operation has one
// meaning. Any other status is wrong.
func interpret(o history.Operation, r *http.Response, body []byte) answer {
	a := answer{label: r.Header.Get("Clusterlite-Consistency")}
	a.position, _ = strconv.ParseInt(r.Header.Get("Clusterlite-Position"), 10, 64) // zero means unknown
	var p struct{ Type, Detail string }
	if r.StatusCode >= 400 {
		if err := json.Unmarshal(body, &p); err != nil {
			return answer{meaning: wrong, said: fmt.Sprintf("%s: %d and no problem: %s", o, r.StatusCode, body)}
		}
		a.said = p.Type[strings.LastIndex(p.Type, "/")+1:]
	}
	write := o.Kind != history.Read && o.Kind != history.Find
	switch {
	case r.StatusCode < 300 && (o.Kind == history.Find || o.Model):
		return found(a, o, body)
	case r.StatusCode == http.StatusNoContent && o.Kind == history.Delete:
		a.outcome = history.Done
	case r.StatusCode == http.StatusCreated && o.Kind == history.Create,
		r.StatusCode == http.StatusOK && o.Kind != history.Create && o.Kind != history.Delete:
		a.outcome = history.Done
		return shown(a, o, r, body)
	case a.said == "not-found" && o.ID != "" && !o.Model:
		a.outcome = history.Missing
	case a.said == "unique-taken" && write:
		a.outcome = history.Taken
	case a.said == "version-mismatch" && o.Match != 0:
		a.outcome = history.Mismatch
		a.entity.Version = version(r)
	case a.said == "idempotency-in-flight" && write:
		a.meaning = inFlight
	case a.said == "outcome-unknown" && write:
		a.meaning = unknown
	case a.said == "broker-unreachable", a.said == "read-model-behind", a.said == "not-ready", a.said == "overloaded":
		a.meaning = refused
	default:
		a.meaning, a.said = wrong, fmt.Sprintf("%s: %d %s", o, r.StatusCode, body)
	}
	return a
}

type shownEntity struct {
	ID      string
	Version int64
	Email   string
	Name    string
}

// shown interprets an answer that contains an entity.
func shown(a answer, o history.Operation, r *http.Response, body []byte) answer {
	var e shownEntity
	if err := json.Unmarshal(body, &e); err != nil || e.Version != version(r) {
		return answer{meaning: wrong, said: fmt.Sprintf("%s: ETag %s, %v: %s", o, r.Header.Get("ETag"), err, body)}
	}
	a.entity = history.Entity(e)
	return a
}

// found interprets an answer that contains a list.
func found(a answer, o history.Operation, body []byte) answer {
	var list []shownEntity
	if err := json.Unmarshal(body, &list); err != nil {
		return answer{meaning: wrong, said: fmt.Sprintf("%s: %v: %s", o, err, body)}
	}
	if len(list) > 1 {
		return answer{meaning: wrong, said: fmt.Sprintf("two hold %s%s: %s", o.Email, o.ID, body)}
	}
	if len(list) == 0 && o.Kind == history.Read {
		a.outcome = history.Missing
		return a
	}
	a.outcome = history.Done
	if len(list) == 1 {
		a.entity = history.Entity(list[0])
	}
	return a
}

// version returns the version in the ETag, or zero if the response has no ETag.
func version(r *http.Response) int64 {
	v, _ := strconv.ParseInt(strings.Trim(r.Header.Get("ETag"), `"`), 10, 64)
	return v
}
