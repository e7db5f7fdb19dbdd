package embedded

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// The commands that recover the state of a damaged log name the address of the broker that refused it.
func TestTheRemedyNamesTheBroker(t *testing.T) {
	killed, _, _ := written(t)
	files := edited(killed, segmentFile("0.dat"), func(s string) string { return s[:70] + "x" + s[71:] + "x" })
	for addr, want := range map[string][]string{
		"127.0.0.1:29092": {"--kafka-listen 127.0.0.1:29092 ", "--kafka-brokers 127.0.0.1:29092\n"},
		defaultAddr:       {"--kafka-brokers 127.0.0.1:19092\n"},
		"127.0.0.1:0":     {"--kafka-brokers 127.0.0.1:19092\n"}, // no port was chosen yet
	} {
		var d *DamagedError
		if _, err := Start(lay(t, files), addr, slog.New(slog.DiscardHandler)); !errors.As(err, &d) {
			t.Fatalf("%s: got %v, want a DamagedError", addr, err)
		}
		for _, part := range want {
			if !strings.Contains(d.Remedy, part) {
				t.Errorf("%s: got the remedy\n%s\nwant it to contain %q", addr, d.Remedy, part)
			}
		}
		if addr != "127.0.0.1:29092" && strings.Contains(d.Remedy, "--kafka-listen") {
			t.Errorf("%s: got the remedy\n%s\nwant the default address", addr, d.Remedy)
		}
	}
}
