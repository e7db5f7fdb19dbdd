package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// The handler, the access log and the span know who sent a request, whether or not it is
// traced. A request whose caller is not accepted reaches no handler.
func TestTheCallerOfARequest(t *testing.T) {
	var log bytes.Buffer
	recorder := tracetest.NewSpanRecorder()
	who := func(r *http.Request) (caller.Caller, error) {
		switch name := r.Header.Get("X-Test-Caller"); name {
		case "mallory":
			return caller.Anonymous, problem.MalformedRequest.New("No.")
		default:
			return caller.Caller{Name: name}, nil
		}
	}
	for _, provider := range []*sdktrace.TracerProvider{nil, sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))} {
		o := web.Options{Callers: who, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		if provider != nil {
			o.Tracing = provider
		}
		var got []string
		e := server(o, func(c echo.Context) error {
			got = append(got, caller.Of(c.Request().Context()).Name)
			return nil
		})
		for _, name := range []string{"ada", ""} {
			log.Reset()
			servicetest.Do(e, "POST", "/things", "", "X-Test-Caller: "+name)
			if has := strings.Contains(log.String(), "caller="); has != (name != "") || has && !strings.Contains(log.String(), "caller=ada") {
				t.Errorf("caller %q: got access log %s, want the caller's name in it if there is one", name, log.String())
			}
		}
		if len(got) != 2 || got[0] != "ada" || got[1] != "" {
			t.Errorf("got callers %q in the handler, want ada and the anonymous one", got)
		}
		if r := servicetest.Do(e, "POST", "/things", "", "X-Test-Caller: mallory"); r.StatusCode != 400 || len(got) != 2 {
			t.Errorf("a rejected caller: got status %d, callers %q, want 400 and no call of the handler", r.StatusCode, got)
		}
	}
	var names []string
	for _, span := range recorder.Ended() {
		for _, a := range span.Attributes() {
			if a.Key == "user.name" {
				names = append(names, a.Value.AsString())
			}
		}
	}
	if len(names) != 1 || names[0] != "ada" {
		t.Errorf("got spans with user.name %q, want one with ada", names)
	}
}
