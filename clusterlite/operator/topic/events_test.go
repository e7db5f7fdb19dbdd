package topic_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/clusterlite/cli"
	"github.com/clusterlite/clusterlite/clusterlite/operator/topic"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/eventlog"
	"github.com/clusterlite/clusterlite/service/process"
	"github.com/clusterlite/clusterlite/service/process/settings"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

// A shelf is a log on its own broker, with the means to run the tool on it.
type shelf struct {
	*eventlog.Log
	t    *testing.T
	addr string
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	b := servicetest.StartBroker(t)
	return &shelf{Log: b.OpenLog(), t: t, addr: b.Addr()}
}

// filled returns a shelf with the events of a user, a malformed record, and a barrier.
func filled(t *testing.T) *shelf {
	t.Helper()
	s := newShelf(t)
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.append(life()...)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.addr), kgo.DefaultProduceTopic("clusterlite.events"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	foreign := &kgo.Record{Key: []byte("k\x1b"), Value: []byte("\x1b[31m\xff"), Headers: []kgo.RecordHeader{{Key: "ce_specversion", Value: []byte("\x1b]0;")}}}
	if err := client.ProduceSync(t.Context(), foreign).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shelf) append(all ...events.Event) {
	s.t.Helper()
	if _, err := s.Append(s.t.Context(), all...); err != nil {
		s.t.Fatal(err)
	}
}

const entityID = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b0000"

func eventID(n int) string { return fmt.Sprintf("0193a1a0-0000-7000-9000-%012d", n) }

// life returns the events of a user and of an order.
func life() []events.Event {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	return []events.Event{
		{ID: eventID(1), Source: "/t", Collection: "users", EntityID: entityID, Kind: events.Created, Version: 1, Time: at, Document: []byte(`{"name":"Ada"}`)},
		{ID: eventID(2), Source: "/t", Collection: "orders", EntityID: strings.Replace(entityID, "0000", "0001", 1), Kind: events.Created, Version: 1, Time: at, Document: []byte(`{"n":1.0}`)},
		{ID: eventID(3), Source: "/t", Collection: "users", EntityID: entityID, Kind: events.Updated, Version: 2, Time: at, Document: []byte(`{"name":"` + strings.Repeat("é", 200) + `"}`)},
		{ID: eventID(4), Source: "/t", Collection: "users", EntityID: entityID, Kind: events.Deleted, Version: 3, Time: at},
	}
}

// tool runs a subcommand and returns its standard output.
func (s *shelf) tool(args ...string) (stdout string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	err = cli.Run(ctx, append(append([]string{"events"}, args...), "--kafka-brokers="+s.addr), &out, io.Discard)
	return out.String(), err
}

// want runs a subcommand and returns its standard output. The test fails if the subcommand
// fails.
func (s *shelf) want(args ...string) string {
	s.t.Helper()
	out, err := s.tool(args...)
	if err != nil {
		s.t.Fatalf("%v: got %v, want success", args, err)
	}
	return out
}

var brokersTime = regexp.MustCompile(`20\d\d-\d\d-\d\dT[0-9:.]+Z`)

func TestTailPrintsWhatIsThere(t *testing.T) {
	s := filled(t)
	out := brokersTime.ReplaceAllString(s.want("tail", "--from=0", "--no-follow", "--all"), "TIME")
	want := "1  TIME  clusterlite.users.created  " + entityID + "  v1  {\"name\":\"Ada\"}\n" +
		"2  TIME  clusterlite.orders.created  " + life()[1].EntityID + "  v1  {\"n\":1.0}\n" +
		"3  TIME  clusterlite.users.updated  " + entityID + "  v2  {\"name\":\"" + strings.Repeat("é", topic.ShownDocument-len(`{"name":"`)) + "…\n" +
		"4  TIME  clusterlite.users.deleted  " + entityID + "  v3\n" +
		"5  TIME  (malformed)  ce_specversion is \"\\x1b]0;\", not \"1.0\"\n" +
		"6  TIME  (barrier)  \n"
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
}

func TestTailFilters(t *testing.T) {
	s := filled(t)
	for args, want := range map[string]string{
		"":                                 "1 2 3 4",
		"--all":                            "1 2 3 4 5 6",
		"--collection=users":               "1 3 4",
		"--collection=users,orders":        "1 2 3 4",
		"--collection=nothing":             "",
		"--type=created":                   "1 2",
		"--type=created,deleted":           "1 2 4",
		"--type=clusterlite.users.created": "1",
		"--id=" + entityID:                 "1 3 4",
		"--id=" + entityID + " --type=updated --all": "3 5 6",
		"--from=2":                     "3 4",
		"--from=2 --until=3":           "3",
		"--from=6 --all":               "",
		"--until=0":                    "",
		"--until=99":                   "1 2 3 4",
		"--from=2020-01-01T00:00:00Z":  "1 2 3 4",
		"--from=24h":                   "1 2 3 4",
		"--until=2020-01-01T00:00:00Z": "",
		"--from=2999-01-01T00:00:00Z --until=2999-01-01T00:00:00Z": "",
	} {
		var got []string
		for line := range strings.Lines(s.want(append([]string{"tail", "--from=0", "--no-follow"}, strings.Fields(args)...)...)) {
			got = append(got, strings.Fields(line)[0])
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", args, got, want)
		}
	}
}

// Names come from clients, so they are untrusted text.
func TestTailShowsActors(t *testing.T) {
	s := newShelf(t)
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := life()
	all[0].Actor, all[3].Actor = "auth0|ada", "e\u202eve"
	s.append(all...)
	lines := strings.Split(s.want("tail", "--from=0", "--no-follow"), "\n")
	for i, want := range []string{"  v1  by auth0|ada  {", "  v1  {", "  v2  {", "  v3  by e\uFFFDve"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d: got %q, want it to have %q", i, lines[i], want)
		}
	}
	if got := s.want("tail", "--from=0", "--no-follow", "--actor=auth0|ada", "--output=json"); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"actor":"auth0|ada"`) {
		t.Errorf("the events of ada: got %s, want one", got)
	}
}

func TestTailAsJSON(t *testing.T) {
	s := filled(t)
	out := s.want("tail", "--from=0", "--no-follow", "--all", "--output=json")
	var positions, contents []string
	for line := range strings.Lines(out) {
		var got struct{ SpecVersion, Type, Content, Detail, Position, AppendedAt string }
		if err := json.Unmarshal([]byte(line), &got); err != nil || !brokersTime.MatchString(got.AppendedAt) {
			t.Fatalf("%s: got %v, want JSON with the broker's time", line, err)
		}
		if (got.SpecVersion == "1.0") == (got.Content != "") {
			t.Errorf("got %s, want either an event or another content", line)
		}
		positions, contents = append(positions, got.Position), append(contents, got.Content)
	}
	if strings.Join(positions, " ") != "1 2 3 4 5 6" || strings.Join(contents, " ") != "    malformed barrier" {
		t.Errorf("got the positions %q and the contents %q, want 4 events, a malformed record and a barrier", positions, contents)
	}
	if !strings.Contains(out, `"data":{"n":1.0},"position":"2"`) {
		t.Errorf("got a changed document, want it unchanged:\n%s", out)
	}
}

// A lineWriter sends each written line on a channel.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		w <- line
	}
	return len(b), nil
}

func TestTailFollowsUntilItIsStopped(t *testing.T) {
	s := filled(t)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	lines, ran := make(lineWriter, 100), make(chan error, 1)
	go func() {
		ran <- cli.Run(ctx, []string{"events", "tail", "--from=3", "--kafka-brokers=" + s.addr}, lines, io.Discard)
	}()
	receive := func() string {
		select {
		case line := <-lines:
			return line
		case err := <-ran:
			t.Fatalf("events tail ended: %v", err)
		case <-ctx.Done():
			t.Fatal("got no event")
		}
		return ""
	}
	if line := receive(); !strings.HasPrefix(line, "4 ") {
		t.Errorf("got %s, want the event at position 4", line)
	}
	later := life()[0]
	later.ID, later.EntityID = eventID(9), eventID(9)
	s.append(later)
	if line := receive(); !strings.HasPrefix(line, "7 ") || !strings.Contains(line, eventID(9)) {
		t.Errorf("got %s, want the new event at position 7", line)
	}
	stop()
	if err := <-ran; err != nil {
		t.Errorf("after the stop: got %v, want success", err)
	}
}

func TestShow(t *testing.T) {
	s := filled(t)
	byPosition := s.want("show", "3")
	if byID := s.want("show", eventID(3), "--from=1"); byID != byPosition {
		t.Errorf("by id: got\n%s\nwant the same as by position\n%s", byID, byPosition)
	}
	for _, part := range []string{"position     3\n", "offset       2\n", "content      event\n", "key          users/" + entityID, "  ce_entityversion: 2\n", "\n  {\n    \"name\": \"é"} {
		if !strings.Contains(byPosition, part) {
			t.Errorf("got\n%s\nwant %q in it", byPosition, part)
		}
	}
	foreign := s.want("show", "5")
	if !strings.Contains(foreign, "content      malformed") || !strings.Contains(foreign, "G1szMW3/") || strings.Contains(foreign, "\x1b") {
		t.Errorf("got\n%q\nwant a malformed record without escape sequences", foreign)
	}
	if barrier := s.want("show", "6"); !strings.Contains(barrier, "content      barrier") || !strings.Contains(barrier, "(none)") {
		t.Errorf("got\n%s\nwant a barrier without a value", barrier)
	}
	var got topic.ShownRecord
	if err := json.Unmarshal([]byte(s.want("show", "2", "--output=json")), &got); err != nil || got.Position != 2 || got.Offset != 1 || got.Content != "event" ||
		got.Value == nil || *got.Value != `{"n":1.0}` || got.Headers[0] != [2]string{"ce_specversion", "1.0"} {
		t.Errorf("got %+v, %v, want the event at position 2", got, err)
	}
	for _, none := range []string{"7", "999", eventID(77)} {
		if _, err := s.tool("show", none); err == nil || !strings.Contains(err.Error(), none) {
			t.Errorf("show %s: got %v, want an error that names it", none, err)
		}
	}
}

func TestExportAndImport(t *testing.T) {
	from, to := filled(t), newShelf(t)
	path := filepath.Join(t.TempDir(), "a.jsonl.zst")
	var exported topic.ExportResult
	if err := json.Unmarshal([]byte(from.want("export", "--out="+path, "--output=json")), &exported); err != nil {
		t.Fatal(err)
	}
	if exported.Events != 4 || exported.LeftOut != 2 || exported.Position != 6 || len(exported.Digests) != 2 || exported.TopicID == "" || exported.SHA256 == "" {
		t.Errorf("got the export %+v, want 4 events up to position 6", exported)
	}
	if _, err := from.tool("export", "--out="+path); !errors.Is(err, os.ErrExist) {
		t.Errorf("an existing file: got %v, want %v", err, os.ErrExist)
	}
	for _, want := range []topic.ImportResult{{Appended: 4}, {Found: 4}} {
		var got topic.ImportResult
		if err := json.Unmarshal([]byte(to.want("import", path, "--output=json")), &got); err != nil {
			t.Fatal(err)
		}
		if got.Appended != want.Appended || got.Found != want.Found || !got.Equal || got.Events != 4 || got.Position != 4 || got.TopicID == exported.TopicID ||
			got.Digests["users"] != (topic.DigestPair{exported.Digests["users"], exported.Digests["users"]}) {
			t.Errorf("got the import %+v, want %+v with equal digests", got, want)
		}
	}
	if out := to.want("import", path); !strings.Contains(out, "4 events, of which 4 were already there and 0 were appended") || !strings.Contains(out, "are equal") {
		t.Errorf("got %s, want 4 events that were already there", out)
	}
}

func TestExportToTheStandardOutput(t *testing.T) {
	from, to := filled(t), newShelf(t)
	path := filepath.Join(t.TempDir(), "a.jsonl")
	out := from.want("export", "--out=-", "--until=3")
	if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := to.want("import", path); !strings.Contains(got, "3 events, of which 0 were already there and 3 were appended") {
		t.Errorf("got %s, want 3 appended events", got)
	}
}

// Only a bug in the project can produce a file whose digests do not match its events.
func TestAnUnequalImportIsReported(t *testing.T) {
	done := topic.ImportResult{Digests: map[string]topic.DigestPair{"users": {"aa", "bb"}}}
	var text bytes.Buffer
	if err := done.Text(&text); err != nil || !strings.Contains(text.String(), "DIFFER") || !strings.Contains(text.String(), "file aa, log bb") {
		t.Errorf("got %s, %v, want both digests", text.String(), err)
	}
	to := newShelf(t)
	if out, err := to.tool("import", filepath.Join("archive", "testdata", "version-1.jsonl")); !errors.Is(err, process.ErrReported) || !strings.Contains(out, "DIFFER") {
		t.Errorf("got %s, %v, want a reported difference", out, err)
	}
}

func TestAFailedExportLeavesNoFile(t *testing.T) {
	s := filled(t)
	dir := t.TempDir()
	if _, err := s.tool("export", "--out="+filepath.Join(dir, "a.jsonl"), "--until=999"); err == nil {
		t.Error("got success beyond the end of the log, want an error")
	}
	if found, err := os.ReadDir(dir); err != nil || len(found) != 0 {
		t.Errorf("got the files %v, %v, want none", found, err)
	}
}

// Inspecting a log does not create its topic.
func TestAMissingTopicStaysMissing(t *testing.T) {
	s := newShelf(t)
	for _, args := range [][]string{{"tail"}, {"show", "1"}, {"export", "--out=-"}} {
		if _, err := s.tool(args...); err == nil || !strings.Contains(err.Error(), "topic clusterlite.events does not exist") {
			t.Errorf("%v: got %v, want an error that says that the topic does not exist", args, err)
		}
	}
	if _, err := s.Describe(t.Context()); err == nil {
		t.Error("got a new topic, want none")
	}
}

func TestEventsUsageErrors(t *testing.T) {
	for _, args := range []string{
		"events", "events dance", "events tail --no-follow", "events tail --from=yesterday", "events tail --from=-5m", "events tail --type=changed", "events tail --until=-1",
		"events show", "events show 0", "events show -1", "events show 0193A1A0-7C1E-7D2B-9C55-0F6A2A1B3C4D", "events export", "events export --out=a --until=x", "events import",
	} {
		var usage *settings.UsageError
		if err := cli.Run(t.Context(), strings.Fields(args), io.Discard, io.Discard); !errors.As(err, &usage) {
			t.Errorf("%s: got %v, want a usage error", args, err)
		}
	}
}
