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

// A server is a command service on a port.
type server struct {
	service
	url  string
	addr string
	// stop asks it to stop, and stopped tells how it did.
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
		t.Errorf("the server: %v", err)
	}
	s.stopped <- nil
}

// count is how many users there are.
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

// An exchange is an import that is under way: lines go in by the writer, results come
// out of the decoder.
type exchange struct {
	net.Conn
	results *json.Decoder
}

// begin starts an import on a connection of its own. What is sent is a chunk each.
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

// next reads the next result; the error is io.EOF at the end of an answer that is whole.
func (x *exchange) next(t testing.TB) (r lineResult, err error) {
	t.Helper()
	if x.results == nil {
		answer, err := http.ReadResponse(bufio.NewReader(x), nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != contract.NDJSON {
			t.Fatalf("got %d, %v", answer.StatusCode, answer.Header)
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
		t.Errorf("after the last line: %+v, %v", r, err)
	}
}

// Lines and results go both ways at the same time.
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
		t.Errorf("there are %d", n)
	}
}

// A connection that breaks: what was acknowledged is done, what was not is done at most
// in part, from the beginning on, and never the line that broke off. A retry with the
// key does the rest, and nothing twice.
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
	// The server has let go once it stops: then nothing more is done.
	s.stop()
	s.awaitStop(t)
	done := s.count(t)
	if done < 700 || done > lines {
		t.Errorf("%d were acknowledged, %d are done", len(acknowledged), done)
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
			t.Fatalf("line %d was %s and is %s", line+1, acknowledged[line].ID, r.ID)
		}
	}
	y.wantEnd(t)
	if n := again.count(t); n != lines {
		t.Errorf("there are %d", n)
	}
}

// Once the server is to stop nothing more is begun, even of the lines that came whole;
// what was begun gets its result.
func TestImportBeginsNothingAfterAStop(t *testing.T) {
	log := servicetest.StartBroker(t).OpenLog()
	model := servicetest.OpenModel(t, log, servicetest.Collections(t)) // it gives no verdict yet
	s := serve(t, service{&commands.Executor{Log: log, Model: model.Projection, Source: "/test", Wait: 30 * time.Second}, model})
	x := s.begin(t)
	x.send(t, user(0))
	for end := servicetest.Context(t); ; { // the first is begun once it is in the log
		if position, err := log.End(end); err != nil || position > 0 {
			break
		}
	}
	x.send(t, user(1))
	s.stop()
	for { // it is stopping once it takes requests no more
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
		t.Errorf("there are %d", n)
	}
}

// A proxy that takes only one direction at a time gets the answer after the last line.
func TestImportByAHalfDuplexProxy(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	x := s.begin(t, contract.HeaderHalfDuplex+": on")
	x.send(t, user(0)+"nonsense\n"+user(1)+"0\r\n")
	for s.count(t) < 2 { // done, and not yet answered
		if servicetest.Context(t).Err() != nil {
			t.Fatal("the lines are not executed as they come")
		}
	}
	_ = x.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := x.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Fatal("the answer comes before the last line")
	}
	_ = x.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(x, "0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	x.want(t, 1, 201)
	x.want(t, 2, 400)
	x.want(t, 3, 201)
}

// A server that is to stop ends an import in good order, however much is to come.
func TestImportEndsWhenTheServerStops(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	x := s.begin(t)
	x.send(t, user(0))
	x.want(t, 1, 201)
	s.stop()
	x.wantEnd(t) // though the client has not ended
	s.awaitStop(t)
}

// An outage ends an import: the lines of the batch say so, those after have no result.
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

// A client may wait for leave to send, as curl does before a large body.
func TestImportAfterContinue(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	x := s.begin(t, "Expect: 100-continue")
	in := bufio.NewReader(x)
	if line, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("got %q, %v", line, err)
	}
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	x.send(t, user(0))
	x.want(t, 1, 201)
}

func TestImportRefusesBeforeTheFirstLine(t *testing.T) {
	s := serve(t, newService(t, servicetest.StartBroker(t), 10*time.Second))
	large := strings.Repeat(user(0), 50_000) // the answer comes through all the same
	for path, want := range map[string]int{"/nothing": 404, "/users?x=1": 400} {
		r, err := http.Post(s.url+path, contract.NDJSON, strings.NewReader(large))
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s: got %d", path, r.StatusCode)
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
		t.Errorf("lines are accepted: got %d", r.StatusCode)
	}
}

// An import is for many entities: it takes far less time than a request each. The
// measured ratio is logged; what is asserted leaves room for a machine that is busy.
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
			t.Fatalf("got %d, %v", r.StatusCode, err)
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
		t.Fatalf("there are %d", n)
	}
	t.Logf("%.0f/s one by one, %.0f/s imported: %.1f times", single, imported, imported/single)
	if imported < 2*single {
		t.Errorf("an import is %.1f times as fast", imported/single)
	}
}
