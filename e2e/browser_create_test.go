package e2e_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// A user of the page can create an entity with it, on a desktop and on a phone.
func TestBrowserCreatesFromTheDocumentation(t *testing.T) {
	wanted(t, "browser")
	c := cluster.Serve(t)
	target := suite.Target{URL: c.URL}
	for name, size := range map[string][2]int{"desktop": {1280, 900}, "phone": {390, 844}} {
		t.Run(name, func(t *testing.T) {
			before := len(target.Do(t, "GET", "/users", "").Want(t, 200).List(t))
			sent := createFromPage(t, c.URL, size[0], size[1])
			if sent.status != 201 {
				t.Errorf("POST /users with the header %v: got status %d, want 201", sent.header, sent.status)
			}
			if got := len(target.Do(t, "GET", "/users", "").Want(t, 200).List(t)); got != before+1 {
				t.Errorf("got %d users, want %d", got, before+1)
			}
			for _, u := range target.Do(t, "GET", "/users", "").Want(t, 200).List(t) {
				target.Do(t, "DELETE", "/users/"+u.ID, "").Want(t, 204) // the next run sends the same address
			}
		})
	}
}

// A sentRequest is the request that the page sent to create a user, with its result.
type sentRequest struct {
	header network.Headers
	status int64
}

// createFromPage opens the page in a browser window of the given size, sends the operation
// that creates a user with the example that the page fills in, and returns the request that
// the page sent.
func createFromPage(t *testing.T, url string, width, height int) sentRequest {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no browser (Debian: chromium): %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(width, height),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.WSURLReadTimeout(time.Minute))...)
	defer cancel()
	requests := map[network.RequestID]network.Headers{}
	answered := make(chan sentRequest, 1)
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	defer func() { _ = chromedp.Cancel(ctx) }() // closes the browser and waits for it
	chromedp.ListenTarget(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, url+"/") && !strings.HasPrefix(e.Request.URL, "data:") && !strings.HasPrefix(e.Request.URL, "blob:"+url) {
				t.Errorf("got a request for %s, want only the store's addresses", e.Request.URL)
			}
			if e.Request.Method == "POST" && e.Request.URL == url+"/users" {
				requests[e.RequestID] = e.Request.Headers
			}
		case *network.EventResponseReceived:
			if header, ok := requests[e.RequestID]; ok {
				select {
				case answered <- sentRequest{header, e.Response.Status}:
				default:
				}
			}
		}
	})
	// The page renders the section of an operation only when it scrolls into view.
	const section = `[id="api-1/tag/users/POST/users"]`
	tryIt := section + ` button.show-api-client-button`
	// The page has two send buttons, for wide and for narrow windows, and shows one of
	// them.
	const send = `(() => { const b = [...document.querySelectorAll('[data-addressbar-action="send"]')].find(b => b.checkVisibility()); b?.click(); return b !== undefined })()`
	err = chromedp.Run(ctx, network.Enable(), chromedp.Navigate(url+"/docs#api-1/tag/users/POST/users"),
		chromedp.WaitVisible(tryIt, chromedp.ByQuery), chromedp.ScrollIntoView(tryIt, chromedp.ByQuery), chromedp.Click(tryIt, chromedp.ByQuery),
		chromedp.Poll(send, nil))
	if err != nil {
		t.Fatalf("create a user from the page: %v", err)
	}
	select {
	case sent := <-answered:
		return sent
	case <-ctx.Done():
		t.Fatal("got no answered request to create a user, want one")
	}
	return sentRequest{}
}
