package events

import "time"

// TimeFormat is the format of times in the log and in documents: RFC 3339 in UTC with
// milliseconds. All such texts have the same length, so they sort like the times.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// FormatTime formats t as [TimeFormat], in UTC, truncated to milliseconds.
func FormatTime(t time.Time) string {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.Format(TimeFormat)
	}
	hour, minute, second := t.Clock()
	b := [len(TimeFormat)]byte([]byte(TimeFormat))
	putDigits(b[0:4], year)
	putDigits(b[5:7], int(month))
	putDigits(b[8:10], day)
	putDigits(b[11:13], hour)
	putDigits(b[14:16], minute)
	putDigits(b[17:19], second)
	putDigits(b[20:23], t.Nanosecond()/1e6)
	return string(b[:])
}

func putDigits(to []byte, n int) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + n%10)
		n /= 10
	}
}

// ParseTime parses a time that [FormatTime] wrote. ok is false for any other text.
func ParseTime(s string) (t time.Time, ok bool) {
	if len(s) != len(TimeFormat) || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != '.' || s[23] != 'Z' {
		return t, false
	}
	var n [7]int
	for i, span := range [7][2]int{{0, 4}, {5, 7}, {8, 10}, {11, 13}, {14, 16}, {17, 19}, {20, 23}} {
		for _, c := range []byte(s[span[0]:span[1]]) {
			if c < '0' || c > '9' {
				return t, false
			}
			n[i] = n[i]*10 + int(c-'0')
		}
	}
	year, month, day, hour, minute, second := n[0], time.Month(n[1]), n[2], n[3], n[4], n[5]
	if hour > 23 || minute > 59 || second > 59 {
		return t, false
	}
	t = time.Date(year, month, day, hour, minute, second, n[6]*1e6, time.UTC)
	y, m, d := t.Date() // the date differs if there is no such day
	return t, y == year && m == month && d == day
}
