package report

import (
	"image/color"
	"path/filepath"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A bar is one line of a plot: a median with its range and, optionally, targets.
type bar struct {
	label  string
	value  spread
	target *Target
	own    bool
}

// bars returns the rows that can be compared on one axis: the requests per second of all
// subjects, or all ratios.
func bars(all []Row, found Results, ratio bool) (lines []bar) {
	for _, r := range all {
		one := found[r.Name]
		if !r.Plotted || len(one.Samples) == 0 {
			continue
		}
		own := one.Samples[r.Subjects[0]]
		for i, name := range r.Subjects {
			samples := one.Samples[name]
			switch {
			case len(samples) == 0:
			case !ratio:
				lines = append(lines, bar{label: r.Name + " - " + name, value: spreadOf(each(samples, value)), own: i == 0})
			case i > 0:
				line := bar{label: r.Name + " - " + name, value: spreadOf(ratios(own, samples))}
				if t, ok := r.Targets[name]; ok {
					line.target = &t
				}
				lines = append(lines, line)
			}
		}
	}
	slices.Reverse(lines) // an axis starts at the bottom
	return lines
}

func plotted(all []Row, found Results) bool { return len(bars(all, found, false)) > 0 }

// writePlots writes throughput.svg and ratios.svg. It writes nothing if there are no results.
func writePlots(dir string, all []Row, found Results) error {
	if !plotted(all, found) {
		return nil
	}
	if err := writePlot(filepath.Join(dir, "throughput.svg"), "Requests per second: median and range", bars(all, found, false)); err != nil {
		return err
	}
	return writePlot(filepath.Join(dir, "ratios.svg"), "ClusterLite's throughput divided by the subject's: median and range", bars(all, found, true))
}

var (
	ownColor   = color.RGBA{R: 31, G: 119, B: 180, A: 255}
	otherColor = color.RGBA{R: 160, G: 160, B: 160, A: 255}
	floorColor = color.RGBA{R: 214, G: 39, B: 40, A: 255}
	goalColor  = color.RGBA{R: 44, G: 160, B: 44, A: 255}
)

func writePlot(path, title string, lines []bar) error {
	p := plot.New()
	p.Title.Text, p.X.Min = title, 0
	p.Y.Padding, p.Y.LineStyle.Width, p.Y.Tick.LineStyle.Width = 0, 0, 0
	labels := make([]string, len(lines))
	for i, line := range lines {
		labels[i] = line.label
		b, err := plotter.NewBarChart(plotter.Values{line.value.median}, vg.Points(9))
		if err != nil {
			return err
		}
		b.Horizontal, b.XMin, b.LineStyle.Width, b.Color = true, float64(i), 0, otherColor
		if line.own {
			b.Color = ownColor
		}
		p.Add(b)
	}
	errors, err := plotter.NewXErrorBars(ranges(lines))
	if err != nil {
		return err
	}
	errors.CapWidth = vg.Points(5)
	p.Add(errors)
	if err := addTargets(p, lines); err != nil {
		return err
	}
	p.NominalY(labels...)
	return p.Save(24*vg.Centimeter, vg.Length(len(lines))*vg.Points(16)+vg.Points(70), path)
}

// addTargets marks the floor and the goal of each bar that has them.
func addTargets(p *plot.Plot, lines []bar) error {
	var floors, goals plotter.XYs
	for i, line := range lines {
		if line.target != nil {
			floors = append(floors, plotter.XY{X: line.target.Floor, Y: float64(i)})
			goals = append(goals, plotter.XY{X: line.target.Goal, Y: float64(i)})
		}
	}
	if len(floors) == 0 {
		return nil
	}
	for name, points := range map[string]plotter.XYs{"floor": floors, "goal": goals} {
		s, err := plotter.NewScatter(points)
		if err != nil {
			return err
		}
		s.Shape, s.Radius, s.Color = draw.PyramidGlyph{}, vg.Points(4), goalColor
		if name == "floor" {
			s.Color = floorColor
		}
		p.Add(s)
		p.Legend.Add(name, s)
	}
	p.Legend.Top = false
	return nil
}

// ranges returns the range around each median, in the form that gonum needs.
type ranges []bar

func (r ranges) Len() int { return len(r) }

func (r ranges) XY(i int) (x, y float64) { return r[i].value.median, float64(i) }

func (r ranges) XError(i int) (low, high float64) {
	return r[i].value.low - r[i].value.median, r[i].value.high - r[i].value.median
}
