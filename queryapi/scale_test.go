package queryapi_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/datafolder"
	"github.com/clusterlite/clusterlite/queryapi"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

const (
	million = 1_000_000
	// mostExtra is the maximum memory of an export in addition to what the process already has.
	mostExtra = 64 << 20
)

// An export of a million entities takes no more memory than one of a few. The test runs only if
// CLUSTERLITE_SCALE is set (make scale): half a minute is too long for a unit test, and the race
// detector takes memory that is not the program's.
func TestExportOfAMillionInConstantMemory(t *testing.T) {
	if os.Getenv("CLUSTERLITE_SCALE") == "" {
		t.Skip("CLUSTERLITE_SCALE is not set")
	}
	server := serveAMillion(t)
	for _, query := range []string{
		"",                              // in order of ids
		"?sort=-price",                  // along an index
		"?sort=stock&fields=id,stock",   // sorted by what has no index
		"?price[gte]=0&name[ne]=nobody", // with filters
	} {
		t.Run("products"+query, func(t *testing.T) {
			debug.FreeOSMemory()
			before := resident(t, "VmRSS")
			resetPeak(t)
			start := time.Now()
			n := countLines(t, server.URL+"/products"+query)
			extra := resident(t, "VmHWM") - before
			t.Logf("%d entities in %s, %.1f MiB of extra memory", n, time.Since(start).Round(time.Millisecond), float64(extra)/(1<<20))
			if n != million || extra > mostExtra {
				t.Errorf("got %d entities with %d bytes of extra memory, want %d with at most %d", n, extra, million, mostExtra)
			}
		})
	}
}

// serveAMillion serves a file with a million products. SQL writes the rows as the projector
// would: to append and apply a million events would take minutes, and the export sees no
// difference.
func serveAMillion(t *testing.T) *httptest.Server {
	t.Helper()
	dir, bare := t.TempDir(), t.TempDir()
	// First without properties: an index is built much faster over rows that exist.
	if err := os.WriteFile(filepath.Join(bare, "products.json"), []byte(`{"title":"products","type":"object"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := collections.Load(bare)
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(eventlog.Config{Brokers: []string{"127.0.0.1:1"}, Topic: "none", ClientID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	open := func(set *collections.Set) *projections.Projection {
		t.Helper()
		p, err := projections.Open(t.Context(), projections.Options{Dir: dir, Log: log, Collections: set})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if err := open(set).Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(dir, datafolder.FileName))
	// A node serves without its broker if its file has caught up with the log before.
	if _, err := log.End(servicetest.Context(t)); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Fatalf("got %v, want no broker", err)
	}
	served := examples(t)
	model := open(served)
	t.Cleanup(func() { _ = model.Close() })
	a := &queryapi.API{Log: log, Model: model, Collections: served, Default: events.Eventual, Wait: time.Second, MaxLag: time.Minute}
	e := servicetest.Echo(web.Options{})
	contract.Mount(e, a.Routes())
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return server
}

func fill(t *testing.T, path string) {
	t.Helper()
	db, err := sqlx.Open("sqlite3", "file:"+path+"?_synchronous=OFF")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	for _, statement := range []string{
		`INSERT INTO products (id, version, created_at, updated_at, doc, _claims)
			WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ` + strconv.Itoa(million-1) + `),
			named(i, id) AS (SELECT i, unhex(printf('0193a1a0000070008000%012x', i)) FROM n)
			SELECT id, 1, '2026-11-24T12:00:00.000Z', '2026-11-24T12:00:00.000Z',
				printf('{"sku":"SKU-%d","name":"Product number %d","price":%d.5,"stock":%d,"tags":["a","b"],"size":{"width":%d}}',
					i, i, i * 7919 % 1000, i * 104729 % 1000000, i), ''
			FROM named`,
		`INSERT INTO _digests (collection, living, digest) VALUES ('products', ` + strconv.Itoa(million) + `, zeroblob(32))`,
		`INSERT INTO _meta (name, value) VALUES ('caught_up', '1')`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func countLines(t *testing.T, url string) (n int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", contract.NDJSON)
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer func() { _ = r.Body.Close() }()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		if line := lines.Bytes(); !bytes.HasPrefix(line, []byte(`{"id":"0193a1a0-`)) || line[len(line)-1] != '}' {
			t.Fatalf("line %d: got %s, want a product", n, line)
		}
		n++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return n
}

// resident returns the memory of the process (VmRSS) or its peak (VmHWM).
func resident(t *testing.T, field string) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skipf("the memory of a process is read from Linux's /proc: %v", err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		var kib int64
		if _, err := fmt.Sscanf(line, field+": %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatalf("got no field %s in %s, want one", field, status)
	return 0
}

// resetPeak sets the peak to the present memory.
func resetPeak(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Skipf("the peak of memory can't be reset: %v", err)
	}
}
