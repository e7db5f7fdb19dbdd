package progress

import (
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const (
	// redraw is how often a bar is drawn.
	redraw = 150 * time.Millisecond
	// barWidth is the width of the bar alone, in characters.
	barWidth = 40
)

// showBar draws a bar until the task ends, and leaves the last state on the screen.
func (t *Task) showBar(w io.Writer) {
	container := mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithRefreshRate(redraw))
	figures := func(s decor.Statistics) string {
		if s.Aborted {
			return t.outcome()
		}
		return t.figures()
	}
	bar := container.New(0, filler(), // without a total, so it never ends by itself
		mpb.BarWidth(barWidth),
		mpb.PrependDecorators(decor.Name(t.what+" ")),
		mpb.AppendDecorators(decor.Any(figures)),
	)
	t.mu.Lock()
	t.out = container // it draws the bar below the written lines
	t.mu.Unlock()
	for goesOn := true; goesOn; {
		goesOn = t.sampleFor(redraw)
		bar.SetTotal(t.total.Load(), false)
		bar.SetCurrent(t.done.Load())
	}
	t.mu.Lock() // writers wait until the bar is complete, and then write below it
	defer t.mu.Unlock()
	bar.Abort(false)
	container.Wait()
	t.out = w
}

// filler draws a bar, or a spinner while the total is unknown.
func filler() mpb.BarFillerBuilder {
	return builder(func() mpb.BarFiller {
		bar := mpb.BarStyle().Build()
		spinner := mpb.SpinnerStyle().PositionLeft().Build()
		return mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
			if s.Total <= 0 {
				return spinner.Fill(w, s)
			}
			return bar.Fill(w, s)
		})
	})
}

type builder func() mpb.BarFiller

// Build builds a filler.
func (b builder) Build() mpb.BarFiller { return b() }
