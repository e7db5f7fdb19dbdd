package nearest_test

import (
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/events/nearest"
)

func TestName(t *testing.T) {
	known := []string{"after", "limit", "sort", "fields", "count", "price", "price[gte]", "kafka-brokers", "größe"}
	for name, want := range map[string]string{
		"limt": "limit", "pric": "price", "price[gtee]": "price[gte]", "SORT": "sort", "feilds": "fields", "kafka-broker": "kafka-brokers", "grösse": "größe",
		"order": "", "offset": "", "x": "", "so": "", "abc": "", "": "", "page": "", "zzzzzzzz": "", "counter": "count",
		strings.Repeat("limit", 1000): "",
	} {
		if got, found := nearest.Name(name, known); got != want || found != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", name, got, found, want)
		}
	}
}
