package commands_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/clusterlite/clusterlite/commands"
	"github.com/clusterlite/clusterlite/events/collections"
	"github.com/clusterlite/clusterlite/projections/query"
	"github.com/clusterlite/clusterlite/service/httpapi/contract"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A server is a command service that listens on a port.
type server struct {
	service
	url  string
	addr string
	// stop asks the server to stop, and stopped receives the result.
	stop    context.CancelFunc
	stopped chan error
}

func serve(t testing.TB, s service) *server {
	t.Helper()
	return serveSet(t, s, servicetest.Collections(t))
}

func serveSet(t testing.TB, s service, set *collections.Set) *server {
	t.Helper()
	e := servicetest.Echo(web.Options{})
	a := &commands.API{Executor: s.Executor, Collections: set, MaxBody: 1 << 20, SpoolDir: t.TempDir()}
	contract.Mount(e, a.Routes())
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	server := &server{service: s, url: "http://" + l.Addr().String(), addr: l.Addr().String(), stop: stop, stopped: make(chan error, 1)}
	go func() { server.stopped <- web.Serve(ctx, l, nil, e, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		server.awaitStop(t)
	})
	return server
}

func (s *server) awaitStop(t testing.TB) {
	t.Helper()
	if err := <-s.stopped; err != nil {
		t.Errorf("got %v from the server, want no error", err)
	}
	s.stopped <- nil
}

// count returns the number of users.
func (s *server) count(t testing.TB) int64 {
	t.Helper()
	snapshot, err := s.model.BeginRead(servicetest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = snapshot.Close() }()
	n, err := snapshot.Count(servicetest.Context(t), "users", query.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

type lineResult struct {
	Line   int64
	Status int
	ID     string
	Type   string
}

func user(i int) string { return fmt.Sprintf(`{"name":"U","email":"u%d@example.com"}`, i) + "\n" }

// An exchange is an import in progress. The writer takes its lines, and the decoder returns the
// results.
type exchange struct {
	net.Conn
	results *json.Decoder
}

// begin starts an import on a new connection. Each text that is sent is one chunk.
func (s *server) begin(t testing.TB, headers ...string) *exchange {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	head := "POST /users HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
	for _, h := range headers {
		head += h + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	return &exchange{Conn: conn}
}

func (x *exchange) send(t testing.TB, text string) {
	t.Helper()
	if _, err := fmt.Fprintf(x, "%x\r\n%s\r\n", len(text), text); err != nil {
		t.Fatal(err)
	}
}

// next returns the next result. At the end of a complete response, the error is io.EOF.
func (x *exchange) next(t testing.TB) (r lineResult, err error) {
	t.Helper()
	if x.results == nil {
		answer, err := http.ReadResponse(bufio.NewReader(x), nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != contract.NDJSON {
			t.Fatalf("got %d, %v, want 200 with NDJSON", answer.StatusCode, answer.Header)
		}
		x.results = json.NewDecoder(answer.Body)
	}
	err = x.results.Decode(&r)
	return r, err
}

func (x *exchange) want(t testing.TB, line int64, status int) lineResult {
	t.Helper()
	r, err := x.next(t)
	if err != nil || r.Line != line || r.Status != status {
		t.Fatalf("got %+v, %v, want line %d with %d", r, err, line, status)
	}
	return r
}

func (x *exchange) wantEnd(t testing.TB) {
	t.Helper()
	if r, err := x.next(t); !errors.Is(err, io.EOF) {
		t.Errorf("after the last line: got %+v, %v, want io.EOF", r, err)
	}
}

// The server sends results while it still receives lines.
func TestImportAnswersWhileItReads(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	x := s.begin(t)
	for i := range 3 {
		x.send(t, user(i))
		x.want(t, int64(i+1), 201)
	}
	x.send(t, "\r\n \n"+`{"name":"no address"}`+"\n")
	x.want(t, 6, 422)
	x.send(t, user(0))
	x.want(t, 7, 409)
	x.send(t, strings.TrimSpace(user(3))) // a last line without an end
	if _, err := io.WriteString(x, "0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	x.want(t, 8, 201)
	x.wantEnd(t)
}

// Lines of one batch race for a unique value, and the log decides.
func TestImportHasOneWinnerInABatch(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	x := s.begin(t)
	x.send(t, strings.Repeat(user(1), 50))
	x.want(t, 1, 201)
	for line := range int64(49) {
		x.want(t, line+2, 409)
	}
	if n := s.count(t); n != 1 {
		t.Errorf("got %d users, want 1", n)
	}
}

// If a connection breaks, every acknowledged line is done. Of the other lines, the first ones may
// be done, but never the line that was cut off. A retry with the key does the rest, and nothing
// twice.
func TestImportOverAConnectionThatBreaks(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	const lines = 2000
	var all strings.Builder
	for i := range lines {
		all.WriteString(user(i))
	}
	x := s.begin(t, "Idempotency-Key: retry-me")
	x.send(t, all.String()+user(lines)[:20])
	var acknowledged []lineResult
	for line := range int64(700) {
		acknowledged = append(acknowledged, x.want(t, line+1, 201))
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	// After the server has stopped, nothing more is done.
	s.stop()
	s.awaitStop(t)
	done := s.count(t)
	if done < 700 || done > lines {
		t.Errorf("got %d lines acknowledged and %d done, want at least 700 and at most all lines done", len(acknowledged), done)
	}

	again := serve(t, s.service)
	y := again.begin(t, "Idempotency-Key: retry-me")
	y.send(t, all.String())
	if _, err := io.WriteString(y, "0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for line := range int64(lines) {
		r := y.want(t, line+1, 201)
		if line < 700 && r.ID != acknowledged[line].ID {
			t.Fatalf("line %d has created %s: got %s from the retry, want the same entity", line+1, acknowledged[line].ID, r.ID)
		}
	}
	y.wantEnd(t)
	if n := again.count(t); n != lines {
		t.Errorf("got %d users, want one for each line", n)
	}
}

// After the server is asked to stop, it begins no more lines, even of those that arrived
// completely. Lines whose execution has started get their results.
func TestImportBeginsNothingAfterAStop(t *testing.T) {
	log := servicetest.StartBroker(t).OpenLog()
	model := servicetest.OpenModel(t, log, servicetest.Collections(t)) // it gives no verdict yet
	s := serve(t, service{&commands.Executor{Log: log, Model: model.Projection, Source: "/test", Wait: 30 * time.Second}, model})
	x := s.begin(t)
	x.send(t, user(0))
	for end := servicetest.Context(t); ; { // Execution of the first line has started once its event is in the log.
		if position, err := log.End(end); err != nil || position > 0 {
			break
		}
	}
	x.send(t, user(1))
	s.stop()
	for { // the server is stopping once it accepts no more requests
		r, err := http.Get(s.url)
		if err != nil {
			break
		}
		_ = r.Body.Close()
	}
	model.Follow()
	x.want(t, 1, 201)
	x.wantEnd(t)
	s.awaitStop(t)
	if n := s.count(t); n != 1 {
		t.Errorf("got %d users, want 1", n)
	}
}

// A half-duplex proxy gets the response after the last line.
func TestImportByAHalfDuplexProxy(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	x := s.begin(t, contract.HeaderHalfDuplex+": on")
	x.send(t, user(0)+"nonsense\n"+user(1)+"0\r\n")
	for s.count(t) < 2 { // executed, but not answered yet
		if servicetest.Context(t).Err() != nil {
			t.Fatal("got fewer than 2 users, want each line executed when it arrives")
		}
	}
	_ = x.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := x.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatal("got the response before the last line, want it afterwards")
	}
	_ = x.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(x, "0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	x.want(t, 1, 201)
	x.want(t, 2, 400)
	x.want(t, 3, 201)
}

// A server that is asked to stop completes the response of an import, however many lines are
// still to come.
func TestImportEndsWhenTheServerStops(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	x := s.begin(t)
	x.send(t, user(0))
	x.want(t, 1, 201)
	s.stop()
	x.wantEnd(t) // although the client has not finished
	s.awaitStop(t)
}

// An outage ends an import. The results of the current batch report it, and later lines have no
// result.
func TestImportEndsWhenTheLogIsAway(t *testing.T) {
	b := servicetest.StartBroker(t)
	s := serve(t, newService(t, b, 2*time.Second))
	x := s.begin(t)
	x.send(t, user(0))
	x.want(t, 1, 201)
	b.Close()
	x.send(t, user(1))
	x.want(t, 2, 503)
	x.wantEnd(t)
}

// A client may wait for 100 Continue before it sends, as curl does with a large body.
func TestImportAfterContinue(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	x := s.begin(t, "Expect: 100-continue")
	in := bufio.NewReader(x)
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("got %q, %v, want HTTP/1.1 100", line, err)
	}
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	x.send(t, user(0))
	x.want(t, 1, 201)
}

func TestImportRejectsBeforeTheFirstLine(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	large := strings.Repeat(user(0), 50_000) // the client gets the response nevertheless
	for path, want := range map[string]int{"/nothing": 404, "/users?x=1": 400} {
		r, err := http.Post(s.url+path, contract.NDJSON, strings.NewReader(large))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, r.StatusCode, want)
		}
	}
	request, err := http.NewRequest("POST", s.url+"/users", strings.NewReader(user(0)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contract.NDJSON)
	request.Header.Set("Accept", contract.NDJSON)
	r, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != 200 {
		t.Errorf("Accept names lines: got %d, want 200", r.StatusCode)
	}
}

// An import of many entities takes far less time than a request for each. The test logs the
// measured ratio. The asserted ratio leaves room for a busy machine.
func TestImportIsFasterThanRequests(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	const requests, lines = 200, 4000
	post := func(contentType, body string) {
		r, err := http.Post(s.url+"/users", contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode > 201 {
			t.Fatalf("got %d, %v, want 200 or 201", r.StatusCode, err)
		}
	}
	begun := time.Now()
	for i := range requests {
		post(contract.JSON, user(i))
	}
	single := requests / time.Since(begun).Seconds()
	var all strings.Builder
	for i := range lines {
		all.WriteString(user(requests + i))
	}
	begun = time.Now()
	post(contract.NDJSON, all.String())
	imported := lines / time.Since(begun).Seconds()
	if n := s.count(t); n != requests+lines {
		t.Fatalf("got %d users, want one for each request and each line", n)
	}
	t.Logf("%.0f/s one by one, %.0f/s imported: %.1f times", single, imported, imported/single)
	if imported < 2*single {
		t.Errorf("got an import %.1f times as fast as requests, want at least 2 times", imported/single)
	}
}
