package events

import (
	"testing"
	"time"
)

// FuzzTime compares the fast functions that read and write times with package time.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2026-11-26T19:00:00.123Z", "2024-02-29T23:59:59.999Z", "2023-02-29T00:00:00.000Z", "0000-01-01T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-00-10T00:00:00.000Z", "2026-11-26T24:00:00.000Z", "2026-11-26T00:00:60.000Z", "2026-11-26T00:00:00,000Z", "2026-11-00T00:00:00.000Z", ""} {
		f.Add(s, int64(0))
	}
	for _, ms := range []int64{0, -1, 253402300799999, 253402300800000, -62167219200001, 1 << 60} {
		f.Add("", ms)
	}
	f.Fuzz(func(t *testing.T, s string, ms int64) {
		got, ok := ParseTime(s)
		want, err := time.Parse(TimeFormat, s)
		if canonical := err == nil && want.Format(TimeFormat) == s; ok != canonical || ok && got != want {
			t.Errorf("%q: got %v, %v, want %v, %v", s, got, ok, want, canonical)
		}
		at := time.UnixMilli(ms)
		if got, want := FormatTime(at), at.UTC().Format(TimeFormat); got != want {
			t.Errorf("%d: got %q, want %q", ms, got, want)
		}
	})
}
