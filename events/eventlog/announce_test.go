package eventlog_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterlite/clusterlite/events/eventlog"
)

func announced(t *testing.T, l *eventlog.Log) []eventlog.Announcement {
	t.Helper()
	all, err := l.Announcements(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAnnouncements(t *testing.T) {
	l, b := prepared(t)
	if all := announced(t, l); len(all) != 0 {
		t.Errorf("got %v before any announcement, want none", all)
	}
	want := []eventlog.Announcement{{Node: "query-1", Position: 7, Note: `{"a":"1"}`}, {Node: "query-2", Position: 0, Note: ""}}
	for _, a := range []eventlog.Announcement{want[1], {Node: "query-1", Position: 9, Note: "old"}, want[0]} {
		if err := l.Announce(deadline(t), a); err != nil {
			t.Fatal(err)
		}
	}
	other, err := eventlog.Open(eventlog.Config{Brokers: []string{b.Addr()}, Topic: "other.events"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := other.Announce(deadline(t), eventlog.Announcement{Node: "query-1", Position: 3}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, announced(t, l)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	if found, err := l.Forget(deadline(t), "query-1"); err != nil || !found {
		t.Errorf("got found %t, %v, want true", found, err)
	}
	if found, err := l.Forget(deadline(t), "query-1"); err != nil || found {
		t.Errorf("a second call: got found %t, %v, want false", found, err)
	}
	if diff := cmp.Diff(want[1:], announced(t, l)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if all := announced(t, other); len(all) != 1 || all[0].Position != 3 {
		t.Errorf("another topic: got %v, want its announcement at position 3", all)
	}
}

// The broker's files keep announcements. Once the broker is back, the log reconnects.
func TestAnnouncementsOutliveTheBroker(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, "127.0.0.1:0")
	l := open(t, b.Addr())
	if _, err := l.Prepare(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := l.Announce(deadline(t), eventlog.Announcement{Node: "n", Position: 1}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := l.Announce(deadline(t), eventlog.Announcement{Node: "n", Position: 2}); !errors.Is(err, eventlog.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	startBroker(t, dir, b.Addr())
	if all := announced(t, l); len(all) != 1 || all[0].Position != 1 {
		t.Errorf("got %v, want the announcement at position 1", all)
	}
	if err := l.Announce(deadline(t), eventlog.Announcement{Node: "n", Position: 3}); err != nil {
		t.Fatal(err)
	}
	if all := announced(t, l); len(all) != 1 || all[0].Position != 3 {
		t.Errorf("got %v, want the announcement at position 3", all)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Announce(deadline(t), eventlog.Announcement{Node: "n"}); err == nil {
		t.Error("got no error after Close, want one")
	}
}
