package e2e_test

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/clusterlite/clusterlite/e2e/cluster"
)

// The page shows which token an API requires, sends the one that a user types, and does
// nothing that its strict content security policy blocks.
func TestBrowserCreatesWithATypedToken(t *testing.T) {
	wanted(t, "browser")
	provider := cluster.NewIdentityProvider(t, nil)
	p := cluster.ServeWith(t, map[string]string{
		"CLUSTERLITE_AUTH_JWKS": provider.Keys, "CLUSTERLITE_AUTH_ISSUER": cluster.Issuer, "CLUSTERLITE_AUTH_AUDIENCE": cluster.Audience,
	})
	p.Start()
	p.AwaitReady()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no browser (Debian: chromium): %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.WSURLReadTimeout(time.Minute))...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	defer func() { _ = chromedp.Cancel(ctx) }() // closes the browser and waits for it
	statuses := make(chan int64, 16)
	var mu sync.Mutex
	var logged []string
	report := func(line string) { mu.Lock(); defer mu.Unlock(); logged = append(logged, line) }
	posts := map[network.RequestID]bool{}
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			posts[e.RequestID] = e.Request.Method == http.MethodPost && e.Request.URL == p.URL+"/users"
		case *network.EventResponseReceived:
			if posts[e.RequestID] {
				statuses <- e.Response.Status
			}
		case *runtime.EventExceptionThrown:
			report(e.ExceptionDetails.Error())
		case *log.EventEntryAdded:
			if e.Entry.Source != log.SourceNetwork { // which logs the response with status 401
				report(e.Entry.Text + " " + e.Entry.URL)
			}
		}
	})
	// The page renders the section of an operation only when it scrolls into view.
	const tryIt = `[id="api-1/tag/users/POST/users"] button.show-api-client-button`
	const send = `(() => { const b = [...document.querySelectorAll('[data-addressbar-action="send"]')].find(b => b.checkVisibility()); b?.click(); return b !== undefined })()`
	const field = `.scalar-reference-intro-auth input[placeholder="Token"]`
	run := func(actions ...chromedp.Action) {
		t.Helper()
		if err := chromedp.Run(ctx, actions...); err != nil {
			t.Fatal(err)
		}
	}
	open := func() {
		t.Helper()
		run(chromedp.WaitVisible(tryIt, chromedp.ByQuery), chromedp.ScrollIntoView(tryIt, chromedp.ByQuery), chromedp.Click(tryIt, chromedp.ByQuery), chromedp.Poll(send, nil))
	}
	status := func() int64 {
		t.Helper()
		select {
		case s := <-statuses:
			return s
		case <-ctx.Done():
			t.Fatal("got no response to a request to create a user, want one")
		}
		return 0
	}
	run(network.Enable(), log.Enable(), chromedp.Navigate(p.URL+"/docs#api-1/tag/users/POST/users"),
		chromedp.WaitVisible(field, chromedp.ByQuery))
	open()
	if got := status(); got != http.StatusUnauthorized {
		t.Errorf("without a token: got status %d, want 401", got)
	}
	run(chromedp.Navigate("about:blank"), chromedp.Navigate(p.URL+"/docs#api-1/tag/users/POST/users"), chromedp.WaitVisible(field, chromedp.ByQuery),
		chromedp.SendKeys(field, provider.Token(t, "ada", nil), chromedp.ByQuery))
	open()
	if got := status(); got != http.StatusCreated {
		t.Errorf("with a token: got status %d, want 201", got)
	}
	run(chromedp.Evaluate("0", nil)) // what the page has logged has arrived before
	mu.Lock()
	defer mu.Unlock()
	if len(logged) > 0 {
		t.Errorf("got in the browser's log\n%s\nwant nothing", strings.Join(logged, "\n"))
	}
}
