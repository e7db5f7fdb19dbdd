package progress

import (
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

// quantity formats a number for people: 1,234,567, or 1.2 MiB.
func quantity(n int64, unit string) string {
	if unit == Bytes {
		return bytesText(n)
	}
	return humanize.Comma(n)
}

// bytesText always writes one decimal, so that a number on the terminal does not change its
// width. humanize.IBytes drops the decimal from 10 upwards.
func bytesText(n int64) string {
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	size, unit := float64(n)/(1<<10), 0
	for ; size >= 1<<10 && unit < len("KMGTPE")-1; unit++ {
		size /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", size, "KMGTPE"[unit])
}

// duration formats seconds as 9s, 2m10s or 1h5m: in whole seconds, or in minutes above an
// hour. Durations above a year are shown as a year.
func duration(seconds float64) string {
	d := time.Duration(min(seconds, 365*24*3600) * float64(time.Second)).Round(time.Second)
	if d < time.Hour {
		return d.String()
	}
	return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
}
