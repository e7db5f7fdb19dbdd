package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.yaml.in/yaml/v4"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// A wire is the description of records in docs/reference/asyncapi.yaml.
type wire struct{ messages map[string]message }

type message struct{ headers, payload, key *jsonschema.Schema }

const asyncAPI = "asyncapi.yaml"

// asyncAPIDocument reads the description. Its numbers have the form that the schema library
// expects.
func asyncAPIDocument(t *testing.T) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(cluster.Root(t), "docs", "reference", asyncAPI))
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return plain.(map[string]any)
}

func describedWire(t *testing.T) wire {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(asyncAPI, asyncAPIDocument(t)); err != nil {
		t.Fatal(err)
	}
	compile := func(at string) *jsonschema.Schema {
		s, err := c.Compile(asyncAPI + "#/components/" + at)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	keyed := compile("messageBindings/keyed/kafka/key")
	w := wire{map[string]message{}}
	for _, kind := range []string{"created", "updated", "deleted", "restored", "barrier"} {
		w.messages[kind] = message{compile("messages/" + kind + "/headers"), compile("messages/" + kind + "/payload"), keyed}
	}
	return w
}

// A record is a Kafka record. A nil value means that the record has no value.
type record struct {
	Key     string      `json:"key"`
	Headers [][2]string `json:"headers"`
	Value   *string     `json:"value"`
}

// check validates a record against its message, and returns the message's name.
func (w wire) check(t *testing.T, r record) string {
	t.Helper()
	headers := map[string]any{}
	for _, h := range r.Headers {
		headers[h[0]] = h[1]
	}
	kind, _ := headers["ce_type"].(string)
	kind = kind[strings.LastIndex(kind, ".")+1:]
	m, ok := w.messages[kind]
	if !ok {
		t.Errorf("got a record with the headers %v, want a message that describes it", headers)
		return kind
	}
	var value any
	if r.Value != nil {
		var err error
		if value, err = jsonschema.UnmarshalJSON(strings.NewReader(*r.Value)); err != nil {
			t.Errorf("got a value that is not JSON: %v: %s", err, *r.Value)
		}
	}
	if err := m.headers.Validate(headers); err != nil {
		t.Errorf("%s: got invalid headers: %v", kind, err)
	}
	if err := m.payload.Validate(value); err != nil {
		t.Errorf("%s: got an invalid value: %v", kind, err)
	}
	if kind == "barrier" {
		if r.Key != "" {
			t.Errorf("got a barrier with the key %q, want none", r.Key)
		}
	} else if err := m.key.Validate(r.Key); err != nil {
		t.Errorf("%s: got an invalid key: %v", kind, err)
	}
	return kind
}

// onTheWire makes every kind of write and validates all records of the log against the
// description of the topic. It must run before any foreign record is written.
func onTheWire(t *testing.T, c *cluster.Cluster) {
	target := suite.Target{URL: c.URL}
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	path := target.Do(t, "POST", "/users", suite.UserBody("Ada", suite.Email()), "Idempotency-Key: wire-"+suite.Email(), "traceparent: "+trace).Want(t, 201).Header.Get("Location")
	target.Do(t, "PATCH", path, `{"name":"B"}`).Want(t, 200)
	target.Do(t, "PUT", path, suite.UserBody("C", suite.Email())).Want(t, 200)
	target.Do(t, "POST", "/users", suite.UserBody("D", suite.Email())+"\n", "Content-Type: application/x-ndjson", "Idempotency-Key: wire-"+suite.Email(), "traceparent: "+trace).Want(t, 200)
	target.Do(t, "DELETE", path, "").Want(t, 204)
	target.Do(t, "POST", path+"/restore", `{"version":1}`).Want(t, 200)
	// These write a barrier of the node and a barrier of the tool.
	target.Do(t, "GET", "/users", "", "Clusterlite-Consistency: linearizable").Want(t, 200)
	if out, err := c.Tool(t, "clusterlite.events", "verify").CombinedOutput(); err != nil {
		t.Fatalf("verify: %v\n%s", err, out)
	}
	end := target.Do(t, "GET", "/users?limit=1", "", "Clusterlite-Consistency: strong").Want(t, 200).Position(t)

	w := describedWire(t)
	seen, traced, sources := map[string]int{}, 0, map[string]bool{}
	for _, r := range readTopic(t, c, end) {
		seen[w.check(t, r)]++
		for _, h := range r.Headers {
			if h[0] == "traceparent" && h[1] == trace {
				traced++
			}
			if h[0] == "ce_source" {
				sources[h[1]] = true
			}
		}
	}
	if !sources["/clusterlite/tool"] || len(sources) < 2 {
		t.Errorf("got the sources %v, want /clusterlite/tool and a node's", sources)
	}
	for _, kind := range []string{"created", "updated", "deleted", "restored", "barrier"} {
		if seen[kind] == 0 {
			t.Errorf("got no %s in the log: %v", kind, seen)
		}
	}
	if traced < 2 {
		t.Errorf("got %d events with the trace, want at least 2", traced)
	}
}

// readTopic reads the records below a position.
func readTopic(t *testing.T, c *cluster.Cluster, end int64) []record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Brokers, ",")...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"clusterlite.events": {0: kgo.NewOffset().At(0)}}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var all []record
	for int64(len(all)) < end {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatalf("got %d of %d records: %v", len(all), end, err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			one := record{Key: string(r.Key)}
			for _, h := range r.Headers {
				one.Headers = append(one.Headers, [2]string{h.Key, string(h.Value)})
			}
			if r.Value != nil {
				value := string(r.Value)
				one.Value = &value
			}
			all = append(all, one)
		})
	}
	return all
}

// The description allows every source that the code can write.
func TestSourcesAreDescribed(t *testing.T) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(asyncAPI, asyncAPIDocument(t)); err != nil {
		t.Fatal(err)
	}
	described := c.MustCompile(asyncAPI + "#/components/schemas/attributes/properties/ce_source")
	literal := regexp.MustCompile(`"(/clusterlite(?:/[^"]*)?)"`)
	found := map[string]bool{}
	for _, module := range []string{"clusterlite", "commands", "events", "projections", "queryapi", "service"} {
		err := filepath.WalkDir(filepath.Join(cluster.Root(t), module), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range literal.FindAllStringSubmatch(string(text), -1) {
				source := match[1]
				switch {
				case source == "/clusterlite/": // the code appends a role and a name
					source += "command/cmd-1"
				case strings.HasSuffix(source, "/"): // the code appends a name
					source += "host-1.example_x"
				}
				found[source] = true
				if err := described.Validate(source); err != nil {
					t.Errorf("%s: got %v, want a source that the description allows", path, err)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 4 {
		t.Errorf("got the sources %v in the code, want those of nodes, the tool, its snapshots and its reindexing", found)
	}
	for _, wrong := range []string{"", "/", "/clusterlite", "/clusterlite/", "/clusterlite/tool/", "/clusterlite/Tool", "/clusterlite/a/b/c", "clusterlite/tool", "/clusterlite/tool\n"} {
		if described.Validate(wrong) == nil {
			t.Errorf("got the source %q allowed, want it rejected", wrong)
		}
	}
}

// Every reference in the description has a target. Each message belongs to the channel and to
// the operation of a consumer of the log. Each message that is an event has a key.
func TestTheDescriptionOfTheTopicIsComplete(t *testing.T) {
	document := asyncAPIDocument(t)
	at := func(pointer string) any {
		var v any = document
		for _, name := range strings.Split(strings.TrimPrefix(pointer, "#/"), "/") {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		return v
	}
	refs := map[string]int{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
			if to, ok := v["$ref"].(string); ok {
				if refs[to]++; !strings.HasPrefix(to, "#/") || at(to) == nil {
					t.Errorf("got a reference to %s, want an existing target", to)
				}
				if len(v) > 1 {
					t.Errorf("got other members beside a reference to %s, which readers ignore", to)
				}
			}
		}
	}
	walk(document)
	if at("#/asyncapi") != "3.0.0" {
		t.Errorf("got AsyncAPI %v, want 3.0.0", at("#/asyncapi"))
	}
	for name := range at("#/components/messages").(map[string]any) {
		if refs["#/components/messages/"+name] != 1 || refs["#/channels/log/messages/"+name] != 1 {
			t.Errorf("got %[2]v, want %[1]s in the channel and in the operation", name, refs)
		}
		bindings, _ := at("#/components/messages/" + name + "/bindings").(map[string]any)
		if keyed := bindings["$ref"] == "#/components/messageBindings/keyed"; keyed == (name == "barrier") {
			t.Errorf("got the wrong bindings of %s: %v", name, bindings)
		}
	}
}

// The records that are pinned for ever have a description.
func TestPinnedRecordsAreDescribed(t *testing.T) {
	w := describedWire(t)
	files, err := filepath.Glob(filepath.Join(cluster.Root(t), "events", "testdata", "format-*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d files, %v, want at least one", len(files), err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var r record
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatalf("%s: got %v, want a record", f, err)
		}
		seen[w.check(t, r)] = true
	}
	for kind := range w.messages {
		if !seen[kind] {
			t.Errorf("got no pinned %s, want one", kind)
		}
	}
}
