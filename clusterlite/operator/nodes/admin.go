package nodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/clusterlite/clusterlite/service/httpapi/admin"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpclient"
)

// connectTimeout is the maximum time that a node may take to accept a connection.
const connectTimeout = 2 * time.Second

// limits apply to answers that a node sends at once. During long work, a node reports its
// progress regularly.
var limits = httpclient.Limits{Connect: connectTimeout, Answer: 5 * time.Second, Stall: 30 * time.Second}

// prompt and patient are clients of nodes. patient is for requests on which a node works
// before its answer begins. It is used only once the node has shown that it responds.
var (
	prompt  = admin.NewClient(limits)
	patient = admin.NewClient(httpclient.Limits{Connect: limits.Connect, Answer: time.Minute, Stall: limits.Stall})
)

// UnreachableError is returned for a node whose admin listener does not answer.
type UnreachableError struct {
	Node, Admin string
	Err         error
}

// Error names the node and its address, and says what happened.
func (e *UnreachableError) Error() string {
	if silent := (*httpclient.SilentError)(nil); errors.As(e.Err, &silent) {
		return fmt.Sprintf("node %s at %s %s", e.Node, e.Admin, silent.What())
	}
	return fmt.Sprintf("node %s can't be reached at %s: %v", e.Node, e.Admin, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// Do sends a request to the node's admin listener. path may contain a query. The caller closes
// the answer's body. If the node does not answer, Do returns an [UnreachableError]. For a
// status other than 2xx, it returns the answer's *problem.Problem. The node must start its
// answer within five seconds. If it stalls while it sends the body, reading the body fails with
// an [httpclient.SilentError].
func (n Node) Do(ctx context.Context, method, path string) (*http.Response, error) {
	return n.do(ctx, prompt, method, path)
}

// DoPatiently is like Do, for requests on which a node works for up to a minute before its
// answer begins. The node must first answer a request that needs no work.
func (n Node) DoPatiently(ctx context.Context, method, path string) (*http.Response, error) {
	if err := n.answers(ctx); err != nil {
		return nil, err
	}
	return n.do(ctx, patient, method, path)
}

func (n Node) answers(ctx context.Context) error {
	var live struct{}
	return n.Get(ctx, "/livez", &live)
}

func (n Node) do(ctx context.Context, client *http.Client, method, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, n.url()+path, nil)
	if err != nil {
		return nil, n.unreachable(err)
	}
	r.Header.Set(admin.HeaderNode, n.Node)
	response, err := client.Do(r)
	if err != nil {
		return nil, n.unreachable(err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusMisdirectedRequest {
		return nil, n.unreachable(problemIn(response)) // another node has this address
	}
	return nil, fmt.Errorf("node %s: %w", n.Node, problemIn(response))
}

func (n Node) url() string {
	if n.TLS {
		return "https://" + n.Admin
	}
	return "http://" + n.Admin
}

// Get asks the node's admin listener and decodes the answer. Errors are those of [Node.Do].
func (n Node) Get(ctx context.Context, path string, into any) error {
	response, err := n.Do(ctx, http.MethodGet, path)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return n.unreachable(fmt.Errorf("read the answer: %w", err))
	}
	return nil
}

// AskPatiently sends a request like [Node.DoPatiently] and decodes the answer.
func (n Node) AskPatiently(ctx context.Context, method, path string, into any) error {
	response, err := n.DoPatiently(ctx, method, path)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("node %s: read the answer: %w", n.Node, err)
	}
	return nil
}

// Lives reports whether the node answers.
func (n Node) Lives(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return n.answers(ctx) == nil
}

// unreachable wraps the error that prevented an answer, unless the caller cancelled the
// request.
func (n Node) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &UnreachableError{Node: n.Node, Admin: n.Admin, Err: err}
}

// problemIn reads the problem in a response.
func problemIn(response *http.Response) *problem.Problem {
	const maximum = 64 << 10
	p := &problem.Problem{}
	b, err := io.ReadAll(io.LimitReader(response.Body, maximum))
	if err != nil || json.Unmarshal(b, p) != nil || p.Title == "" {
		p.Title = response.Status
	}
	p.Status = response.StatusCode
	return p
}
