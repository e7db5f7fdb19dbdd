package report

import "testing"

func TestReached(t *testing.T) {
	for _, s := range []struct {
		target Target
		lower  bool
		median float64
		want   string
	}{
		{Target{1.5, 3}, false, 1.4, "no"}, {Target{1.5, 3}, false, 1.5, "floor"}, {Target{1.5, 3}, false, 3, "goal"},
		{Target{20, 5}, true, 21, "no"}, {Target{20, 5}, true, 20, "floor"}, {Target{20, 5}, true, 4, "goal"},
	} {
		if got := s.target.Reached(s.median, s.lower); got != s.want {
			t.Errorf("%+v with %v: got %s, want %s", s.target, s.median, got, s.want)
		}
	}
}
