package load

// A Workload is a kind of requests that clients send.
type Workload int

const (
	GetEventual Workload = iota
	GetStrong
	GetLinearizable
	ListEventual
	Create
)

// String names the workload in file names.
func (w Workload) String() string {
	return [...]string{"get-eventual", "get-strong", "get-linearizable", "list", "post"}[w]
}

// Requests are what a workload sends to one subject.
type Requests struct {
	Method, ContentType string
	Header              map[string]string
	// Targets are paths with queries that are requested in turn.
	Targets []string
	// Body, if not empty, is sent with each request. In it, {n} is replaced with a number that
	// no other request has.
	Body string
}
