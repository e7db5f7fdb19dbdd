package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// The todo list of the examples is live in two browsers, which follow the feed with EventSource through
// Nginx. Each query service is killed in turn, so each tab has to continue at another one. It sees
// every change once, in order.
func TestBrowserTodoList(t *testing.T) {
	wanted(t, "browser")
	example := filepath.Join(cluster.Root(t), "examples", "todo")
	c := cluster.EmbeddedWith(t, 1, 2, func(_ string, env map[string]string) { env["CLUSTERLITE_COLLECTIONS"] = example })
	target := suite.Target{URL: c.URL}
	target.Do(t, "POST", "/todos", `{"title":"before the tabs","done":false}`).Want(t, 201)
	a := openTodos(t, example, c.URL)
	b := openTodos(t, example, c.URL)

	a.run(chromedp.SendKeys(`input[name="title"]`, "written in a tab\r", chromedp.ByQuery))
	b.shows("written in a tab", true)
	b.run(chromedp.Click(`//li[contains(., "written in a tab")]//input`, chromedp.BySearch))
	a.run(chromedp.WaitVisible(`//li[contains(., "written in a tab")]/label[@class="done"]`, chromedp.BySearch))
	a.run(chromedp.Click(`//button[@aria-label="Delete before the tabs"]`, chromedp.BySearch))
	b.shows("before the tabs", false)

	for i, node := range c.Queries {
		node.Kill()
		for k := range 5 {
			target.Do(t, "POST", "/todos", fmt.Sprintf(`{"title":"while node %d is down: %d","done":false}`, i, k)).Want(t, 201)
		}
		for _, tab := range []*todoTab{a, b} {
			tab.shows(fmt.Sprintf("while node %d is down: 4", i), true)
		}
		node.Start()
		node.AwaitReady()
	}
	for name, tab := range map[string]*todoTab{"first": a, "second": b} {
		followed := tab.followed()
		if followed.Opened < 2 {
			t.Errorf("%s tab: connected %d times, want at least twice", name, followed.Opened)
		}
		var all []struct{ Position string }
		r := target.Do(t, "GET", "/todos/changes?offset="+followed.Offset, "").Want(t, 200)
		if err := json.Unmarshal(r.Body, &all); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, change := range all {
			want = append(want, change.Position)
		}
		if !slices.Equal(followed.Positions, want) {
			t.Errorf("%s tab: got the changes %v from %s, want %v", name, followed.Positions, followed.Offset, want)
		}
	}
}

// A todoTab is a tab of a browser that shows the todo list.
type todoTab struct {
	t   *testing.T
	ctx context.Context
}

// A following is what a tab has received from the feed.
type following struct {
	Offset    string // from which the tab follows
	Opened    int
	Positions []string
}

// observe records, in a page, what its EventSource receives. It changes nothing for the page.
const observe = `const original = EventSource;
const following = { Opened: 0, Positions: [] };
EventSource = class extends original {
	constructor(url) {
		super(url);
		following.Offset ??= new URL(url).searchParams.get("offset");
		this.addEventListener("open", () => following.Opened++);
		this.addEventListener("data", (e) => following.Positions.push(...JSON.parse(e.data).map((c) => c.position)));
	}
};`

// openTodos opens the page, as a file, in a new browser, and waits until it is live. (A browser draws
// and scripts at full speed only in the tab in front.)
func openTodos(t *testing.T, example, store string) *todoTab {
	t.Helper()
	tab := &todoTab{t, newBrowser(t)}
	file := url.URL{Scheme: "file", Path: filepath.Join(example, "index.html"), RawQuery: "store=" + url.QueryEscape(store)}
	tab.run(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(observe).Do(ctx)
		return err
	}), chromedp.Navigate(file.String()), chromedp.WaitVisible(`//p[.="Live"]`, chromedp.BySearch))
	return tab
}

// newBrowser starts a browser that finds no host but this one. It ends with the test.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("no browser (Debian: chromium): %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"), chromedp.WSURLReadTimeout(time.Minute))...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // closes the browser and waits for it
	return ctx
}

func (tab *todoTab) run(actions ...chromedp.Action) {
	tab.t.Helper()
	if err := chromedp.Run(tab.ctx, actions...); err != nil {
		var said string
		_ = chromedp.Run(tab.ctx, chromedp.Evaluate(`document.body.innerText`, &said))
		tab.t.Fatalf("%v: the page shows\n%s", err, said)
	}
}

// shows waits until the tab shows a todo, or until it no longer does.
func (tab *todoTab) shows(title string, wanted bool) {
	tab.t.Helper()
	tab.run(chromedp.Poll(fmt.Sprintf(`[...document.querySelectorAll("li label")].some((l) => l.innerText.includes(%q)) === %t`, title, wanted), nil,
		chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(time.Minute)))
}

func (tab *todoTab) followed() (f following) {
	tab.t.Helper()
	tab.run(chromedp.Evaluate(`following`, &f))
	return f
}
