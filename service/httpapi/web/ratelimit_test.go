package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
	"github.com/clusterlite/clusterlite/service/httpapi/ratelimit"
	"github.com/clusterlite/clusterlite/service/httpapi/web"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// Requests beyond a limit reach no handler. Those with bad credentials count as anonymous ones.
func TestRequestsAreLimited(t *testing.T) {
	rates, err := ratelimit.New(ratelimit.Options{
		Anonymous: ratelimit.Limit{Requests: 2, Per: time.Hour}, Callers: ratelimit.Limit{Requests: 3, Per: time.Hour},
	}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	who := func(r *http.Request) (caller.Caller, error) {
		if r.Header.Get("Authorization") == "Bearer bad" {
			return caller.Anonymous, problem.Unauthorized.New("No.")
		}
		return caller.Caller{Name: r.Header.Get("Authorization")}, nil
	}
	served := 0
	e := server(web.Options{Callers: who, Rates: rates}, func(c echo.Context) error {
		served++
		return c.NoContent(http.StatusNoContent)
	})
	send := func(method, authorization string, want int) *http.Response {
		t.Helper()
		headers := []string{"Origin: https://app.example.com"}
		if authorization != "" {
			headers = append(headers, "Authorization: "+authorization)
		}
		r := servicetest.Do(e, method, "/things", "", headers...)
		if r.StatusCode != want {
			t.Errorf("%s as %q: got %d, want %d", method, authorization, r.StatusCode, want)
		}
		return r
	}
	send("POST", "", 204)
	send("POST", "Bearer bad", 401)
	r := send("POST", "Bearer bad", 429)
	for field, want := range map[string]string{
		"Retry-After": "1800", "RateLimit": `"anonymous";r=0;t=3600`, "RateLimit-Policy": `"anonymous";q=2;w=3600`, "Content-Type": "application/problem+json", "Access-Control-Allow-Origin": "*",
	} {
		if got := r.Header.Get(field); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
	for _, field := range []string{"RateLimit", "RateLimit-Policy", "Retry-After"} {
		if !strings.Contains(r.Header.Get("Access-Control-Expose-Headers"), field) {
			t.Errorf("got a response whose field %s scripts can't read", field)
		}
	}
	if body := servicetest.Body(t, r); !strings.Contains(body, "/rate-limited") || !strings.Contains(body, "Nothing was done") {
		t.Errorf("got %s, want a problem of type rate-limited", body)
	}
	send("POST", "", 429)
	for range 3 {
		send("POST", "ada", 204)
	}
	send("POST", "ada", 429)
	send("POST", "bob", 204)
	if served != 5 {
		t.Errorf("got %d calls of the handler, want 5", served)
	}
}

// Without a way to authenticate, addresses can be limited too.
func TestAnOpenServerIsLimited(t *testing.T) {
	rates, err := ratelimit.New(ratelimit.Options{Anonymous: ratelimit.Limit{Requests: 1, Per: time.Hour}}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	e := server(web.Options{Rates: rates}, func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	for _, want := range []int{204, 429} {
		if r := servicetest.Do(e, "POST", "/things", ""); r.StatusCode != want {
			t.Errorf("got %d, want %d", r.StatusCode, want)
		}
	}
}
