// Package settings reads the settings: flags, each with an environment variable. The error
// for an invalid value has the setting's name and what is allowed. Every program parses its
// command line with it, and takes its settings from the structs here.
package settings

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Node has the settings of every process.
type Node struct {
	NodeID      string        `name:"node-id" env:"CLUSTERLITE_NODE_ID" placeholder:"NAME" help:"The name of the node, unique in the cluster: letters, digits, dots, dashes and underscores. Default: the host name and the role."`
	HTTPAddr    string        `name:"http-addr" env:"CLUSTERLITE_HTTP_ADDR" default:"${http_addr}" placeholder:"HOST:PORT" help:"Address of the API (default ${default})."`
	AdminAddr   string        `name:"admin-addr" env:"CLUSTERLITE_ADMIN_ADDR" default:"${admin_addr}" placeholder:"HOST:PORT" help:"Address of the admin listener, which serves health, metrics and status. Not for clients (default ${default})."`
	DataDir     string        `name:"data-dir" env:"CLUSTERLITE_DATA_DIR" default:"./clusterlite-data" placeholder:"DIR" help:"Data folder of the node (default ${default})."`
	DataSlots   bool          `name:"data-slots" env:"CLUSTERLITE_DATA_SLOTS" help:"Share the data folder with other nodes of the same host: take the first numbered folder in it that no other process holds, and append its number to the node's name."`
	Collections string        `name:"collections" env:"CLUSTERLITE_COLLECTIONS" placeholder:"DIR" help:"Folder with additional collections, one JSON Schema file each. Default: none."`
	ModelsDir   string        `name:"models-dir" env:"CLUSTERLITE_MODELS_DIR" placeholder:"DIR" help:"Folder with read models in SQL, one file each; it may be the folder with collections. Changed files take effect without a restart. Command services serve none. Default: none."`
	Webhooks    string        `name:"webhooks" env:"CLUSTERLITE_WEBHOOKS" placeholder:"FILE" help:"JSON file with webhooks, to which the node sends events. A changed file takes effect without a restart. Command services send none. Default: none."`
	Bootstrap   []string      `name:"bootstrap" env:"CLUSTERLITE_BOOTSTRAP" placeholder:"SOURCE" help:"Where a node without a read model looks for a snapshot to start from, separated by commas: a folder, a bucket (s3://…, gs://…, azblob://…), or the admin listener of another node (http://…). Default: none; the node reads the log from its beginning."`
	ReadyLag    time.Duration `name:"ready-lag" env:"CLUSTERLITE_READY_LAG" default:"30s" placeholder:"DURATION" help:"The node is not ready once it has been behind the log for longer than this, e.g. 30s (default ${default})."`
	DrainWait   time.Duration `name:"drain-wait" env:"CLUSTERLITE_DRAIN_WAIT" default:"0s" placeholder:"DURATION" help:"When the process stops or is drained, it continues to serve for this long while it is not ready, so that load balancers can notice, e.g. 5s (default ${default})."`
	SelfRepair  bool          `name:"self-repair" env:"CLUSTERLITE_SELF_REPAIR" default:"true" negatable:"" help:"If the projection file is damaged, rebuild the projection and keep the damaged file (default true)."`
	Scrub       time.Duration `name:"scrub-interval" env:"CLUSTERLITE_SCRUB_INTERVAL" default:"24h" placeholder:"DURATION" help:"Interval between full checks of the projection file, e.g. 24h; 0 disables them (default ${default})."`
	Journal     string        `name:"journal" env:"CLUSTERLITE_JOURNAL" enum:"on,query,off,all" default:"on" help:"Keep the events on disk beside the projection, for change feeds, histories and restores: on, off, or query, which leaves out command services (default ${default}). The value all is the same as on."`
	CacheMemory ByteSize      `name:"cache-memory" env:"CLUSTERLITE_CACHE_MEMORY" default:"16MiB" placeholder:"SIZE" help:"Memory for the cache of entities and pages of lists, up to 64GiB; 0 disables the cache (default ${default})."`
	LogFormat   string        `name:"log-format" env:"CLUSTERLITE_LOG_FORMAT" enum:"text,json" default:"text" help:"Format of log lines: text or json (default ${default})."`
	LogLevel    string        `name:"log-level" env:"CLUSTERLITE_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Minimum level of log lines: debug, info, warn or error (default ${default})."`

	Pprof bool `name:"pprof" env:"CLUSTERLITE_PPROF" help:"Serve profiles of the process on the admin listener, at /debug/pprof/."`

	AdminTLS AdminTLS `embed:""`

	// AdminAdvertise is empty unless it is set.
	AdminAdvertise string `name:"admin-advertise" env:"CLUSTERLITE_ADMIN_ADVERTISE" placeholder:"HOST:PORT" help:"Address at which the operator's tool reaches the admin listener. Default: the address that it is bound to, or the host name if it is bound to all addresses."`
}

// Topic names the log.
type Topic struct {
	Topic string `name:"kafka-topic" env:"CLUSTERLITE_KAFKA_TOPIC" default:"clusterlite.events" placeholder:"NAME" help:"Topic that holds the log (default ${default})."`
}

// HTTP has the settings of an API listener.
type HTTP struct {
	TLS   APITLS     `embed:""`
	Auth  Auth       `embed:""`
	Rates RateLimits `embed:""`

	MaxBody        ByteSize `name:"max-body" env:"CLUSTERLITE_MAX_BODY" default:"1MiB" placeholder:"SIZE" help:"Maximum size of a request body, 1KiB to 3MiB (default ${default})."`
	MaxConnections int      `name:"max-connections" env:"CLUSTERLITE_MAX_CONNECTIONS" default:"4096" placeholder:"N" help:"Maximum number of client connections; more wait until one closes (default ${default})."`
	MaxRequests    int      `name:"max-requests" env:"CLUSTERLITE_MAX_REQUESTS" default:"512" placeholder:"N" help:"Maximum number of requests served at once, for reads and for writes each. Four times as many wait for at most a second; more get 503 (default ${default})."`
	RequestMemory  ByteSize `name:"request-memory" env:"CLUSTERLITE_REQUEST_MEMORY" default:"256MiB" placeholder:"SIZE" help:"Memory for request bodies, their parsed form, and responses; at least 64 times max-body (default ${default})."`
	Compress       bool     `name:"compress" env:"CLUSTERLITE_COMPRESS" default:"true" help:"Compress responses of 1 KiB or more for clients that accept gzip or zstd (default ${default})."`
	CORSOrigins    []string `name:"cors-origins" env:"CLUSTERLITE_CORS_ORIGINS" default:"*" placeholder:"ORIGIN" help:"Origins whose scripts may call the API, separated by commas; * allows any (default ${default})."`
	// Both settings extend the header fields of the API itself.
	CORSAllowHeaders  []string `name:"cors-allow-headers" env:"CLUSTERLITE_CORS_ALLOW_HEADERS" placeholder:"NAME" help:"Additional request headers that scripts of other origins may send, separated by commas, for example for a proxy in front of the API. The headers of the API and Authorization are always allowed. Default: none."`
	CORSExposeHeaders []string `name:"cors-expose-headers" env:"CLUSTERLITE_CORS_EXPOSE_HEADERS" placeholder:"NAME" help:"Additional response headers that scripts of other origins may read, separated by commas. The headers of the API are always readable. Default: none."`
}

// Reads has the settings of a process that answers reads.
type Reads struct {
	Consistency string        `name:"read-consistency" env:"CLUSTERLITE_READ_CONSISTENCY" enum:"strong,eventual" default:"strong" help:"Consistency of reads that do not ask for one: strong or eventual (default ${default})."`
	Wait        time.Duration `name:"read-wait" env:"CLUSTERLITE_READ_WAIT" default:"2s" placeholder:"DURATION" help:"Maximum time that a read waits for its position, e.g. 2s (default ${default})."`
}

// Writes has the settings of a process that takes writes.
type Writes struct {
	Wait time.Duration `name:"write-wait" env:"CLUSTERLITE_WRITE_WAIT" default:"10s" placeholder:"DURATION" help:"Maximum time that a write waits for its verdict, e.g. 10s (default ${default})."`
}

var (
	validNode  = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	validTopic = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)
)

// SetDefaults names the node after its host and role if it has no name. With slots the
// role alone is enough: the number of the slot follows.
func (n *Node) SetDefaults(role string) error {
	if n.NodeID != "" {
		return nil
	}
	if n.DataSlots {
		n.NodeID = role
		return nil
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("--node-id (CLUSTERLITE_NODE_ID) is not set, and the host name can't be determined: %w", err)
	}
	n.NodeID = NodeName(host) + "-" + role
	return nil
}

// NodeName derives a node's name from a host name: characters that are not allowed become
// dashes.
func NodeName(host string) string {
	return strings.Map(func(r rune) rune {
		if validNode.MatchString(string(r)) {
			return r
		}
		return '-'
	}, host)
}

// CheckSettings is called by the parser.
func (n *Node) CheckSettings() error {
	if n.NodeID != "" && !validNode.MatchString(n.NodeID) {
		return bad("node-id", n.NodeID, "1 to 100 letters, digits, dots, dashes and underscores")
	}
	if n.DataDir == "" {
		return bad("data-dir", n.DataDir, "a folder")
	}
	if n.ReadyLag <= 0 {
		return bad("ready-lag", n.ReadyLag.String(), "a duration above zero, such as 30s")
	}
	if n.DrainWait < 0 || n.DrainWait > 10*time.Minute {
		return bad("drain-wait", n.DrainWait.String(), "0s to 10m")
	}
	if n.Scrub != 0 && n.Scrub < time.Minute {
		return bad("scrub-interval", n.Scrub.String(), "a duration of at least 1m, or 0 for never")
	}
	if n.CacheMemory < 0 || n.CacheMemory > 64<<30 {
		return bad("cache-memory", n.CacheMemory.String(), "0 to 64GiB")
	}
	if err := CheckAddr("http-addr", n.HTTPAddr); err != nil {
		return err
	}
	if n.AdminAdvertise != "" {
		if err := CheckAddr("admin-advertise", n.AdminAdvertise); err != nil {
			return err
		}
	}
	return CheckAddr("admin-addr", n.AdminAddr)
}

// CheckSettings is called by the parser.
func (t *Topic) CheckSettings() error {
	if !validTopic.MatchString(t.Topic) || t.Topic == "." || t.Topic == ".." {
		return bad("kafka-topic", t.Topic, "1 to 249 letters, digits, dots, dashes and underscores")
	}
	return nil
}

// CheckSettings is called by the parser.
func (h *HTTP) CheckSettings() error {
	if h.MaxBody < 1<<10 || h.MaxBody > 3<<20 {
		return bad("max-body", h.MaxBody.String(), "1KiB to 3MiB")
	}
	if h.MaxConnections < 1 || h.MaxConnections > 1<<20 {
		return bad("max-connections", strconv.Itoa(h.MaxConnections), "1 to 1048576")
	}
	if h.MaxRequests < 1 || h.MaxRequests > 1<<16 {
		return bad("max-requests", strconv.Itoa(h.MaxRequests), "1 to 65536")
	}
	// A single body, with its parsed form and the response, must fit.
	if h.RequestMemory < 64*h.MaxBody {
		return bad("request-memory", h.RequestMemory.String(), "at least 64 times max-body, "+(64*h.MaxBody).String())
	}
	for _, o := range h.CORSOrigins {
		u, err := url.Parse(o)
		plain := err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && u.Scheme+"://"+u.Host == o
		if !plain && (o != "*" || len(h.CORSOrigins) > 1) {
			return bad("cors-origins", o, "* alone, or origins such as https://app.example.com")
		}
	}
	if err := checkFieldNames("cors-allow-headers", h.CORSAllowHeaders); err != nil {
		return err
	}
	return checkFieldNames("cors-expose-headers", h.CORSExposeHeaders)
}

// CheckSettings is called by the parser.
func (r *Reads) CheckSettings() error {
	if r.Wait <= 0 || r.Wait > time.Minute {
		return bad("read-wait", r.Wait.String(), "a duration above zero, up to 1m")
	}
	return nil
}

// CheckSettings is called by the parser.
func (w *Writes) CheckSettings() error {
	if w.Wait <= 0 || w.Wait > time.Minute {
		return bad("write-wait", w.Wait.String(), "a duration above zero, up to 1m")
	}
	return nil
}

// checkFieldNames checks names of header fields (RFC 9110, 5.1). It rejects the wildcard,
// which would not cover Authorization and would hide what it allows.
func checkFieldNames(flag string, names []string) error {
	for _, name := range names {
		if !httpguts.ValidHeaderFieldName(name) || name == "*" {
			return bad(flag, name, "names of header fields, such as X-Tenant")
		}
	}
	return nil
}

// variable returns the environment variable of a flag, which has the same name.
func variable(flag string) string {
	return "CLUSTERLITE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func bad(flag, value, allowed string) error {
	return fmt.Errorf("--%s (%s) is %q; allowed: %s", flag, variable(flag), value, allowed)
}

// CheckAddr returns an error that names the flag if an address is not host:port.
func CheckAddr(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return bad(flag, addr, "host:port, with a port from 0 to 65535")
	}
	return nil
}

// AdminAddr has the settings of a health check.
type AdminAddr struct {
	TLS  AdminTLS `embed:""`
	Addr string   `name:"admin-addr" env:"CLUSTERLITE_ADMIN_ADDR" default:"${admin_addr}" placeholder:"HOST:PORT" help:"Address of the admin listener (default ${default})."`
}

// CheckSettings is called by the parser.
func (a *AdminAddr) CheckSettings() error { return CheckAddr("admin-addr", a.Addr) }

// Encrypted reports whether the admin listener uses TLS.
func (a *AdminAddr) Encrypted() bool { return a.TLS.CertFile != "" }

// Listen says where an embedded broker is.
type Listen struct {
	KafkaListen string `name:"kafka-listen" env:"CLUSTERLITE_KAFKA_LISTEN" default:"127.0.0.1:19092" placeholder:"HOST:PORT" help:"Address of the embedded broker; its clients connect to the same address (default ${default})."`
}

// CheckSettings is called by the parser.
func (l *Listen) CheckSettings() error { return CheckAddr("kafka-listen", l.KafkaListen) }
