package dashboard

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Range is the time that panels show.
type Range struct {
	From, To time.Time
	Step     time.Duration
	// Rate is the range of rates: Grafana's $__rate_interval.
	Rate time.Duration
}

// An Answer is what Prometheus answers to one panel.
type Answer struct {
	Panel Panel `json:"panel"`
	// Times are seconds since 1970.
	Times  []float64 `json:"times"`
	Series []Series  `json:"series"`
	// Empty are the queries without a single number, if any.
	Empty []string `json:"-"`
}

// A Series is one line. It has a value for each time; nil if there is no number for it.
type Series struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values"`
}

// Ask asks a Prometheus for the data of a panel.
func (p Panel) Ask(ctx context.Context, server string, r Range) (Answer, error) {
	a := Answer{Panel: p}
	for at := r.From; !at.After(r.To); at = at.Add(r.Step) {
		a.Times = append(a.Times, seconds(at))
	}
	for _, target := range p.Targets {
		expr := strings.ReplaceAll(target.Expr, "$__rate_interval", fmt.Sprint(int(r.Rate.Seconds()), "s"))
		results, err := query(ctx, server, expr, r)
		if err != nil {
			return a, fmt.Errorf("%s: %w", p, err)
		}
		found := false
		for _, one := range results {
			s := Series{name(target.LegendFormat, one.Metric), make([]*float64, len(a.Times))}
			for _, sample := range one.Values {
				i := int(math.Round((sample.at - a.Times[0]) / r.Step.Seconds()))
				if i < 0 || i >= len(s.Values) || math.IsNaN(sample.value) || math.IsInf(sample.value, 0) {
					continue
				}
				s.Values[i], found = &sample.value, true
			}
			a.Series = append(a.Series, s)
		}
		if !found {
			a.Empty = append(a.Empty, expr)
		}
	}
	return a, nil
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// result is one series of an answer of Prometheus.
type result struct {
	Metric map[string]string
	Values []sample
}

// sample is a time and a value, which Prometheus encodes as a number and a text.
type sample struct{ at, value float64 }

// UnmarshalJSON implements [json.Unmarshaler].
func (s *sample) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &[2]any{&s.at, &text}); err != nil {
		return err
	}
	var err error
	s.value, err = strconv.ParseFloat(text, 64)
	return err
}

func query(ctx context.Context, server, expr string, r Range) ([]result, error) {
	form := url.Values{"query": {expr}, "step": {fmt.Sprint(r.Step.Seconds())},
		"start": {fmt.Sprint(seconds(r.From))}, "end": {fmt.Sprint(seconds(r.To))}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/api/v1/query_range?"+form.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Error string
		Data  struct{ Result []result }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("got %d from Prometheus for %s: %s", response.StatusCode, expr, answer.Error)
	}
	return answer.Data.Result, nil
}

var label = regexp.MustCompile(`{{\s*(\w+)\s*}}`)

// name fills in the labels of a legend.
func name(format string, labels map[string]string) string {
	return label.ReplaceAllStringFunc(format, func(of string) string { return labels[label.FindStringSubmatch(of)[1]] })
}
