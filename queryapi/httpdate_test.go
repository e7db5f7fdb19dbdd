package queryapi

import (
	"net/http"
	"testing"
	"time"
)

func TestDatesAreThoseOfHTTP(t *testing.T) {
	for at := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 9990; at = at.Add(40*24*time.Hour + 3*time.Hour + 7*time.Minute + 11*time.Second) {
		if got, want := httpDate(at), at.Format(http.TimeFormat); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
}

func BenchmarkHTTPDate(b *testing.B) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		httpDate(at)
	}
}
