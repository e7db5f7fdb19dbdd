// Package settings reads what an operator sets: flags, each with an environment
// variable. A bad value is refused with its name and what is allowed.
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

	"github.com/alecthomas/kong"
	"golang.org/x/net/http/httpguts"
)

// Node is what every process has.
type Node struct {
	NodeID      string        `name:"node-id" env:"CLUSTERLITE_NODE_ID" placeholder:"NAME" help:"The node's name, unique in the cluster: letters, digits, dot, dash, underscore. Default: the host's name and the role."`
	HTTPAddr    string        `name:"http-addr" env:"CLUSTERLITE_HTTP_ADDR" default:"${http_addr}" placeholder:"HOST:PORT" help:"Where the API listens (default ${default})."`
	AdminAddr   string        `name:"admin-addr" env:"CLUSTERLITE_ADMIN_ADDR" default:"${admin_addr}" placeholder:"HOST:PORT" help:"Where the admin listener is: health, metrics, status. Not for clients (default ${default})."`
	DataDir     string        `name:"data-dir" env:"CLUSTERLITE_DATA_DIR" default:"./clusterlite-data" placeholder:"DIR" help:"The node's own folder (default ${default})."`
	DataSlots   bool          `name:"data-slots" env:"CLUSTERLITE_DATA_SLOTS" help:"Share the data folder with other nodes of the same host: take the first numbered folder in it that no other process holds, and append its number to the node's name."`
	Collections string        `name:"collections" env:"CLUSTERLITE_COLLECTIONS" placeholder:"DIR" help:"A folder of more collections, a JSON Schema file each. Default: none."`
	Bootstrap   []string      `name:"bootstrap" env:"CLUSTERLITE_BOOTSTRAP" placeholder:"PLACE,…" help:"Where a node without a read model looks for a snapshot to start from, comma between: a folder, a bucket (s3://…, gs://…, azblob://…), or another node's admin listener (http://…). Default: none, it reads the log from its beginning."`
	ReadyLag    time.Duration `name:"ready-lag" env:"CLUSTERLITE_READY_LAG" default:"30s" placeholder:"DURATION" help:"Not ready once behind the log for longer, e.g. 30s (default ${default})."`
	SelfRepair  bool          `name:"self-repair" env:"CLUSTERLITE_SELF_REPAIR" default:"true" negatable:"" help:"Rebuild the projection if its file is damaged, and keep the damaged file (default true)."`
	Scrub       time.Duration `name:"scrub-interval" env:"CLUSTERLITE_SCRUB_INTERVAL" default:"24h" placeholder:"DURATION" help:"The time between two checks of all of the projection file, e.g. 24h; 0 means never (default ${default})."`
	CacheMemory ByteSize      `name:"cache-memory" env:"CLUSTERLITE_CACHE_MEMORY" default:"16MiB" placeholder:"SIZE" help:"Memory for the entities that were read last, up to 64GiB; 0 means that none are kept (default ${default})."`
	LogFormat   string        `name:"log-format" env:"CLUSTERLITE_LOG_FORMAT" enum:"text,json" default:"text" help:"How log lines are written: text or json (default ${default})."`
	LogLevel    string        `name:"log-level" env:"CLUSTERLITE_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"What is logged: debug, info, warn or error (default ${default})."`

	Pprof bool `name:"pprof" env:"CLUSTERLITE_PPROF" help:"Serve profiles of the process at /debug/pprof/ of the admin listener."`

	// AdminAdvertise is empty unless it is set.
	AdminAdvertise string `name:"admin-advertise" env:"CLUSTERLITE_ADMIN_ADVERTISE" placeholder:"HOST:PORT" help:"Where the operator's tool reaches the admin listener. Default: where it is bound, or the host's name if that is every address."`
}

// Kafka says where the log is.
type Kafka struct {
	Brokers []string `name:"kafka-brokers" env:"CLUSTERLITE_KAFKA_BROKERS" default:"127.0.0.1:19092" placeholder:"HOST:PORT,…" help:"The brokers to start from, comma between (default ${default})."`
	Topic   `embed:""`
}

// Topic names the log.
type Topic struct {
	Topic string `name:"kafka-topic" env:"CLUSTERLITE_KAFKA_TOPIC" default:"clusterlite.events" placeholder:"NAME" help:"The topic that is the log (default ${default})."`
}

// HTTP is what an API listener has.
type HTTP struct {
	MaxBody        ByteSize `name:"max-body" env:"CLUSTERLITE_MAX_BODY" default:"1MiB" placeholder:"SIZE" help:"The largest request body, 1KiB to 3MiB (default ${default})."`
	MaxConnections int      `name:"max-connections" env:"CLUSTERLITE_MAX_CONNECTIONS" default:"4096" placeholder:"N" help:"The most connections of clients; more wait until one ends (default ${default})."`
	MaxRequests    int      `name:"max-requests" env:"CLUSTERLITE_MAX_REQUESTS" default:"512" placeholder:"N" help:"The most requests that are worked on at once, reads and writes each; four times as many wait, for a second at most, and more get 503 (default ${default})."`
	RequestMemory  ByteSize `name:"request-memory" env:"CLUSTERLITE_REQUEST_MEMORY" default:"256MiB" placeholder:"SIZE" help:"Memory for bodies, what is made of them, and answers; at least 64 times max-body (default ${default})."`
	Compress       bool     `name:"compress" env:"CLUSTERLITE_COMPRESS" default:"true" help:"Compress answers of 1 KiB or more for clients that accept gzip or zstd (default ${default})."`
	CORSOrigins    []string `name:"cors-origins" env:"CLUSTERLITE_CORS_ORIGINS" default:"*" placeholder:"ORIGIN,…" help:"Origins whose scripts may call the API, comma between; * is any (default ${default})."`
	// Both come on top of the header fields that the API itself has.
	CORSAllowHeaders  []string `name:"cors-allow-headers" env:"CLUSTERLITE_CORS_ALLOW_HEADERS" placeholder:"NAME,…" help:"More request headers that scripts of other origins may send, comma between, for what is in front of the API. Those of the API and Authorization are always allowed. Default: none."`
	CORSExposeHeaders []string `name:"cors-expose-headers" env:"CLUSTERLITE_CORS_EXPOSE_HEADERS" placeholder:"NAME,…" help:"More response headers that scripts of other origins may read, comma between. Those of the API are always readable. Default: none."`
}

// Reads is what a process that answers reads has.
type Reads struct {
	Consistency string        `name:"read-consistency" env:"CLUSTERLITE_READ_CONSISTENCY" enum:"strong,eventual" default:"strong" help:"What a read gets that asks for nothing: strong or eventual (default ${default})."`
	Wait        time.Duration `name:"read-wait" env:"CLUSTERLITE_READ_WAIT" default:"2s" placeholder:"DURATION" help:"The longest wait of a read for its position, e.g. 2s (default ${default})."`
}

// Writes is what a process that takes writes has.
type Writes struct {
	Wait time.Duration `name:"write-wait" env:"CLUSTERLITE_WRITE_WAIT" default:"10s" placeholder:"DURATION" help:"The longest wait of a write for its verdict, e.g. 10s (default ${default})."`
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
		return fmt.Errorf("--node-id (CLUSTERLITE_NODE_ID) is not set and the host has no name: %w", err)
	}
	n.NodeID = NodeName(host) + "-" + role
	return nil
}

// NodeName makes a node's name of a host's: what a name can't have becomes a dash.
func NodeName(host string) string {
	return strings.Map(func(r rune) rune {
		if validNode.MatchString(string(r)) {
			return r
		}
		return '-'
	}, host)
}

// Validate is called by the parser.
func (n *Node) Validate() error {
	if n.NodeID != "" && !validNode.MatchString(n.NodeID) {
		return bad("node-id", n.NodeID, "1 to 100 letters, digits, dots, dashes and underscores")
	}
	if n.DataDir == "" {
		return bad("data-dir", n.DataDir, "a folder")
	}
	if n.ReadyLag <= 0 {
		return bad("ready-lag", n.ReadyLag.String(), "a duration above zero, such as 30s")
	}
	if n.Scrub != 0 && n.Scrub < time.Minute {
		return bad("scrub-interval", n.Scrub.String(), "a duration of at least 1m, or 0 for never")
	}
	if n.CacheMemory < 0 || n.CacheMemory > 64<<30 {
		return bad("cache-memory", n.CacheMemory.String(), "0, or up to 64GiB")
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

// Validate is called by the parser.
func (k *Kafka) Validate() error {
	if len(k.Brokers) == 0 {
		return bad("kafka-brokers", "", "at least one host:port")
	}
	for _, b := range k.Brokers {
		if err := CheckAddr("kafka-brokers", b); err != nil {
			return err
		}
	}
	return k.Topic.Validate()
}

// Validate is called by the parser.
func (t *Topic) Validate() error {
	if !validTopic.MatchString(t.Topic) || t.Topic == "." || t.Topic == ".." {
		return bad("kafka-topic", t.Topic, "1 to 249 letters, digits, dots, dashes and underscores")
	}
	return nil
}

// Validate is called by the parser.
func (h *HTTP) Validate() error {
	if h.MaxBody < 1<<10 || h.MaxBody > 3<<20 {
		return bad("max-body", h.MaxBody.String(), "1KiB to 3MiB")
	}
	if h.MaxConnections < 1 || h.MaxConnections > 1<<20 {
		return bad("max-connections", strconv.Itoa(h.MaxConnections), "1 to 1048576")
	}
	if h.MaxRequests < 1 || h.MaxRequests > 1<<16 {
		return bad("max-requests", strconv.Itoa(h.MaxRequests), "1 to 65536")
	}
	// One body alone must fit, with all that is made of it.
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

// Validate is called by the parser.
func (r *Reads) Validate() error {
	if r.Wait <= 0 || r.Wait > time.Minute {
		return bad("read-wait", r.Wait.String(), "a duration above zero, up to 1m")
	}
	return nil
}

// Validate is called by the parser.
func (w *Writes) Validate() error {
	if w.Wait <= 0 || w.Wait > time.Minute {
		return bad("write-wait", w.Wait.String(), "a duration above zero, up to 1m")
	}
	return nil
}

// checkFieldNames checks names of header fields (RFC 9110, 5.1). A wildcard is none: it
// would not cover Authorization, and would not say what it opens.
func checkFieldNames(flag string, names []string) error {
	for _, name := range names {
		if !httpguts.ValidHeaderFieldName(name) || name == "*" {
			return bad(flag, name, "names of header fields, such as X-Tenant")
		}
	}
	return nil
}

// variable is the environment variable of a flag: the same word.
func variable(flag string) string {
	return "CLUSTERLITE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func bad(flag, value, allowed string) error {
	return fmt.Errorf("--%s (%s) is %q; allowed: %s", flag, variable(flag), value, allowed)
}

// CheckAddr refuses an address that is not host:port, with the flag that has it.
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

// AdminAddr is the one setting that a health check needs.
type AdminAddr struct {
	Addr string `name:"admin-addr" env:"CLUSTERLITE_ADMIN_ADDR" default:"${admin_addr}" placeholder:"HOST:PORT" help:"Where the admin listener is (default ${default})."`
}

// Validate is called by the parser.
func (a *AdminAddr) Validate() error { return CheckAddr("admin-addr", a.Addr) }

// VersionFlag shows the version and ends the program.
type VersionFlag = kong.VersionFlag

// Listen says where an embedded broker is.
type Listen struct {
	KafkaListen string `name:"kafka-listen" env:"CLUSTERLITE_KAFKA_LISTEN" default:"127.0.0.1:19092" placeholder:"HOST:PORT" help:"Where the embedded broker listens; clients of it connect to this same address (default ${default})."`
}

// Validate is called by the parser.
func (l *Listen) Validate() error { return CheckAddr("kafka-listen", l.KafkaListen) }
