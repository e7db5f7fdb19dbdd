package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/clusterlite/clusterlite/e2e/cluster"
	"github.com/clusterlite/clusterlite/e2e/suite"
)

// TestLogDamage damages the log in ways that no node can repair. Each node that could answer
// wrongly because of the damage refuses to serve, and says why and what to do. Following the
// advice must work.
func TestLogDamage(t *testing.T) {
	t.Run("recreated topic", recreatedTopic)
	t.Run("older log restored", olderLogRestored)
	t.Run("records deleted from the front", recordsDeleted)
	t.Run("record of a newer format", newerFormat)
	t.Run("topic with limited retention", forgetfulTopic)
	t.Run("foreign and malformed records", malformedRecords)
	t.Run("a byte of the embedded broker's log", damagedByte)
}

// damaged starts an all-in-one process with its broker, and a separate query service.
func damaged(t *testing.T) (c *cluster.Cluster, query *cluster.Process) {
	c = cluster.Serve(t)
	query = c.AddQuery()
	return c, query
}

// ready starts a process and waits until it has applied everything that was written.
func ready(t *testing.T, c *cluster.Cluster, p *cluster.Process) {
	t.Helper()
	p.Start()
	p.AwaitReady()
	position := suite.Target{URL: c.Server.URL}.Do(t, "GET", "/users?limit=1", "").Position(t)
	eventually(t, p.Name+" reaches the end", func() bool { return p.Status().Position >= position })
}

// refuses checks that a process ends, and says why and what to do.
func refuses(t *testing.T, p *cluster.Process, words ...string) {
	t.Helper()
	before := len(p.Output())
	p.Start()
	if code := p.AwaitExit(); code != 1 {
		t.Errorf("%s: got exit code %d, want 1", p.Name, code)
	}
	says(t, p.Name, p.Output()[before:], words...)
}

// stops checks that a running process keeps running, becomes unready, answers no more reads,
// and says why.
func stops(t *testing.T, p *cluster.Process, words ...string) {
	t.Helper()
	eventually(t, p.Name+" says "+words[0], func() bool { return strings.Contains(p.NotReady(), words[0]) })
	says(t, p.Name, p.NotReady(), words...)
	target := suite.Target{URL: p.URL}
	for _, consistency := range []string{"", "eventual"} {
		target.Do(t, "GET", "/users", "", "Clusterlite-Consistency: "+consistency).Problem(t, 503, "not-ready")
	}
}

func says(t *testing.T, who, said string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(said, w) {
			t.Errorf("%s: got %s, want %q in it", who, said, w)
		}
	}
}

// rebuildFolder follows the advice of a node that has an entity that the log lacks. Such a
// rebuild needs --force.
func rebuildFolder(t *testing.T, c *cluster.Cluster, p *cluster.Process) {
	t.Helper()
	if out, err := c.Tool(t, "clusterlite.events", "rebuild", "--data-dir", p.DataDir()).CombinedOutput(); err == nil || !strings.Contains(string(out), "would be lost (users 1)") {
		t.Fatalf("rebuild %s: got %v: %s, want a refusal that counts one user", p.Name, err, out)
	}
	if out, err := c.Tool(t, "clusterlite.events", "rebuild", "--force", "--data-dir", p.DataDir()).CombinedOutput(); err != nil {
		t.Fatalf("rebuild %s: got %v: %s, want success", p.Name, err, out)
	}
}

// moveAway removes a projection from a node's folder.
func moveAway(t *testing.T, p *cluster.Process) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.DataDir(), "projection*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no projection in %s: %v", p.DataDir(), err)
	}
	away := t.TempDir()
	for _, f := range files {
		if err := os.Rename(f, filepath.Join(away, filepath.Base(f))); err != nil {
			t.Fatal(err)
		}
	}
}

// damagedByte changes one byte of the embedded broker's log. Neither the log nor the read
// model beside it may be lost.
func damagedByte(t *testing.T) {
	t.Parallel() // the test mostly waits
	c := cluster.Serve(t)
	target := suite.Target{URL: c.URL}
	for range 40 {
		target.Create(t, "Ada")
	}
	c.Server.Kill()
	folder := filepath.Join(c.Server.DataDir(), "broker")
	segment := filepath.Join(folder, "partitions", cluster.Topic+"-0", "0.dat")
	whole, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(at int) {
		t.Helper()
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		if err := os.WriteFile(segment, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	damage(100)
	before := filesOf(t, folder)
	refuses(t, c.Server, segment, "byte 0", "checksum", "Nothing was changed", "Restore "+folder, "clusterlite snapshot create", "clusterlite snapshot append")
	damage(len(whole) - 10) // this byte belongs to the last event
	refuses(t, c.Server, segment, "checksum", "may have been acknowledged")
	damage(100)
	moveAway(t, c.Server) // without the read model, the process must still not serve an empty store
	refuses(t, c.Server, segment, "byte 0")
	if !maps.Equal(filesOf(t, folder), before) {
		t.Error("got a changed broker's folder after a refusal, want it unchanged")
	}
	if err := os.WriteFile(segment, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	c.Server.Start()
	c.Server.AwaitReady()
	if n := len(target.All(t, 100)); n != 40 {
		t.Errorf("with the byte restored: got %d users, want 40", n)
	}
}

// filesOf returns the contents of the files in a folder, by path.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func recreatedTopic(t *testing.T) {
	t.Parallel() // the test mostly waits
	c, query := damaged(t)
	suite.Target{URL: c.URL}.Create(t, "Ada")
	ready(t, c, query)
	client := kafka(t, c)
	deleteTopic(t, client)
	makeTopic(t, client, "retention.ms=-1")
	stops(t, query, "other-topic", "`clusterlite rebuild --data-dir DIR`", "`clusterlite snapshot create STORE --data-dir DIR`")
	stops(t, c.Server, "other-topic")
	suite.Target{URL: c.URL}.Do(t, "POST", "/users", suite.UserBody("Eve", suite.Email())).Problem(t, 503, "not-ready")
	query.Kill()
	refuses(t, query, "other-topic", "`clusterlite rebuild --data-dir DIR`", "`clusterlite snapshot create STORE --data-dir DIR`")
	c.Server.Stop()
	refuses(t, c.Server, "other-topic")
	rebuildFolder(t, c, c.Server)
	c.Server.Start()
	c.Server.AwaitReady()
	suite.Target{URL: c.URL}.Create(t, "Bob")
	rebuildFolder(t, c, query)
	ready(t, c, query)
	sameRows(t, c, query)
}

// sameRows compares the lists of the two processes.
func sameRows(t *testing.T, c *cluster.Cluster, query *cluster.Process) {
	t.Helper()
	one, other := suite.Target{URL: c.URL}.All(t, 100), suite.Target{URL: query.URL}.All(t, 100)
	if len(one) == 0 || len(one) != len(other) || one[0] != other[0] {
		t.Errorf("got the lists %v and %v, want the same users in both", one, other)
	}
}

func olderLogRestored(t *testing.T) {
	t.Parallel() // the test mostly waits
	c, query := damaged(t)
	suite.Target{URL: c.URL}.Create(t, "Ada")
	c.Server.Stop()
	folder := filepath.Join(c.Server.DataDir(), "broker")
	copied := func() string {
		to := filepath.Join(t.TempDir(), "broker")
		if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		return to
	}
	putBack := func(from string) {
		if err := errors.Join(os.RemoveAll(folder), os.CopyFS(folder, os.DirFS(from))); err != nil {
			t.Fatal(err)
		}
	}
	older := copied()
	c.Server.Start()
	c.Server.AwaitReady()
	suite.Target{URL: c.URL}.Create(t, "Bob")
	ready(t, c, query)
	c.Server.Stop()
	whole := copied()
	putBack(older)
	refuses(t, c.Server, "ahead-of-log", "may be the only copy")
	moveAway(t, c.Server)
	c.Server.Start()
	c.Server.AwaitReady()
	stops(t, query, "ahead-of-log", "may be the only copy")

	// With the missing records restored, the node needs no intervention.
	c.Server.Stop()
	putBack(whole)
	c.Server.Start()
	c.Server.AwaitReady()
	query.AwaitReady()
	sameRows(t, c, query)

	// With other records in their place, the node does not accept the log.
	c.Server.Stop()
	putBack(older)
	moveAway(t, c.Server)
	c.Server.Start()
	c.Server.AwaitReady()
	for range 3 {
		suite.Target{URL: c.URL}.Create(t, "Eve")
	}
	stops(t, query, "other-record", "may be the only copy")
	query.Kill()
	refuses(t, query, "other-record", "`clusterlite rebuild --data-dir DIR`", "`clusterlite snapshot create STORE --data-dir DIR`")
	rebuildFolder(t, c, query)
	ready(t, c, query)
	sameRows(t, c, query)
}

func recordsDeleted(t *testing.T) {
	t.Parallel() // the test mostly waits
	c, query := damaged(t)
	target := suite.Target{URL: c.URL}
	target.Create(t, "Ada")
	ready(t, c, query)
	query.Stop()
	for range 3 {
		target.Create(t, "Bob")
	}
	further := c.AddQuery()
	ready(t, c, further)
	at := further.Status().Position
	further.Stop()
	deleteRecords(t, kafka(t, c), at)
	target.Create(t, "Eve") // a node that is ahead of that position is not affected
	refuses(t, query, "gap-in-log", "copy of another node's projection")
	refuses(t, c.AddQuery(), "gap-in-log")
	moveAway(t, query)
	copyProjection(t, further, query)
	ready(t, c, query)
	ready(t, c, further)
	sameRows(t, c, query)
}

// copyProjection copies a node's projection to where another node looks for its own. The other
// node must be stopped.
func copyProjection(t *testing.T, from, to *cluster.Process) {
	t.Helper()
	const name = "projection.db"
	b, err := os.ReadFile(filepath.Join(from.DataDir(), name))
	if err == nil {
		err = os.WriteFile(filepath.Join(to.DataDir(), name), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func newerFormat(t *testing.T) {
	t.Parallel() // the test mostly waits
	c, query := damaged(t)
	suite.Target{URL: c.URL}.Create(t, "Ada")
	ready(t, c, query)
	at := query.Status().Position
	produce(t, kafka(t, c), foreignRecord("users/x", `{"name":"Eve"}`, "ce_specversion", "1.0", "ce_type", "clusterlite.users.archived", "ce_format", "3"))
	stops(t, query, "newer-format", "log format 3", "Install a newer version")
	stops(t, c.Server, "newer-format")
	query.Kill()
	query.Start() // a restart changes nothing
	stops(t, query, "newer-format")
	if p := query.Status().Position; p != at {
		t.Errorf("got position %d, want that of the record, %d", p, at)
	}
}

func forgetfulTopic(t *testing.T) {
	t.Parallel() // the test mostly waits
	c, query := damaged(t)
	query.Kill()
	client := kafka(t, c)
	deleteTopic(t, client)
	makeTopic(t, client, "retention.ms=604800000")
	refuses(t, query, "unfit-topic", `retention.ms is "604800000"`, "--add-config retention.ms=-1")
	if strings.Contains(query.Output(), "clusterlite rebuild") {
		t.Error("got the advice to rebuild, which repairs nothing")
	}
}

// malformedRecords appends records of another client that violate each rule for records. None
// of them may block the log, and all must be counted.
func malformedRecords(t *testing.T) {
	t.Parallel() // the test mostly waits
	c, query := damaged(t)
	target := suite.Target{URL: c.URL}
	ada := target.Create(t, "Ada")
	ready(t, c, query)
	before := query.Status()
	const event, id, claim = "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4d", "0193a1a0-7c1e-7d2b-9c55-0f6a2a1b3c4e", "email:AAAAAAAAAAAAAAAAAAAAAA"
	whole := []string{
		"ce_specversion", "1.0", "ce_id", event, "ce_source", "/foreign", "ce_type", "clusterlite.users.created", "ce_subject", id,
		"ce_time", "2026-11-22T12:00:00.000Z", "ce_entityversion", "1", "ce_format", "1", "ce_claims", `["` + claim + `"]`, "content-type", "application/json",
	}
	with := func(header, value string) *kgo.Record {
		return foreignRecord("users/"+id, `{"name":"Eve"}`, replaced(whole, header, value)...)
	}
	voids := []*kgo.Record{
		{},
		foreignRecord("", "hello"),
		foreignRecord("users/x", `{"name":"Eve"}`, "ce_type", "clusterlite.users.created"),
		foreignRecord("", "\xff\x00", "ce_specversion", "1.0", "ce_type", "com.example.other"),
		with("ce_specversion", "0.3"), with("ce_id", "x"), with("ce_type", "clusterlite.users.renamed"), with("ce_type", "clusterlite..created"),
		with("ce_subject", "../../etc"), with("ce_time", "yesterday"), with("ce_entityversion", "0"), with("ce_entityversion", "2"), with("ce_format", "x"),
		with("ce_claims", "email"), with("ce_claims", `["email"]`), with("content-type", "text/plain"),
		foreignRecord("users/"+id, `[1]`, whole...), foreignRecord("users/"+id, `{"a":`, whole...), foreignRecord("users/"+id, "", whole...),
		// These records are well-formed, but void: one because of its version, one because of
		// its id.
		foreignRecord("users/"+ada.ID, `{"name":"Eve"}`, replaced(whole, "ce_subject", ada.ID)...),
		foreignRecord("users/"+ada.ID, `{"name":"Eve"}`, replaced(replaced(replaced(whole, "ce_subject", ada.ID), "ce_type", "clusterlite.users.updated"), "ce_entityversion", "7")...),
	}
	produce(t, kafka(t, c), voids...)
	target.Create(t, "after the foreign ones")
	eventually(t, "the query service is past them", func() bool { return query.Status().Position >= before.Position+int64(len(voids))+1 })
	after := query.Status()
	if after.Voids != before.Voids+int64(len(voids)) || after.Entities["users"] != before.Entities["users"]+1 {
		t.Errorf("got %+[3]v after %+[2]v, want %[1]d more voids and 1 more user", len(voids), before, after)
	}
	if got := target.Do(t, "GET", "/users/"+ada.ID, "").Want(t, 200).Entity(t); got != ada {
		t.Errorf("got %+v, want %+v", got, ada)
	}
	sameRows(t, c, query)
	// A valid event of another writer counts: the log is the truth, regardless of who writes
	// it.
	produce(t, kafka(t, c), foreignRecord("users/"+id, `{"name":"Eve","email":"eve@example.com"}`, whole...))
	target.Do(t, "GET", "/users/"+id, "").Want(t, 200)
}

func replaced(headers []string, name, value string) []string {
	changed := append([]string(nil), headers...)
	for i := 0; i < len(changed); i += 2 {
		if changed[i] == name {
			changed[i+1] = value
		}
	}
	return changed
}

func foreignRecord(key, value string, headers ...string) *kgo.Record {
	r := &kgo.Record{Key: []byte(key), Value: []byte(value)}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

// kafka returns an independent Kafka client.
func kafka(t *testing.T, c *cluster.Cluster) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.Brokers, ",")...), kgo.DefaultProduceTopic(cluster.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func produce(t *testing.T, client *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := client.ProduceSync(soon(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func deleteTopic(t *testing.T, client *kgo.Client) {
	t.Helper()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = kmsg.StringPtr(cluster.Topic)
	request := kmsg.NewDeleteTopicsRequest()
	request.TopicNames, request.Topics = []string{cluster.Topic}, []kmsg.DeleteTopicsRequestTopic{topic}
	if _, err := request.RequestWith(soon(t), client); err != nil {
		t.Fatal(err)
	}
}

func makeTopic(t *testing.T, client *kgo.Client, setting string) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = cluster.Topic, 1, 1
	config := kmsg.NewCreateTopicsRequestTopicConfig()
	name, value, _ := strings.Cut(setting, "=")
	config.Name, config.Value = name, &value
	size, most := kmsg.NewCreateTopicsRequestTopicConfig(), "10485760"
	size.Name, size.Value = "max.message.bytes", &most
	topic.Configs = append(topic.Configs, config, size)
	request := kmsg.NewCreateTopicsRequest()
	request.Topics = append(request.Topics, topic)
	answer, err := request.RequestWith(soon(t), client)
	if err != nil || answer.Topics[0].ErrorCode != 0 {
		t.Fatalf("create the topic: got %v, %+v, want success", err, answer)
	}
}

func deleteRecords(t *testing.T, client *kgo.Client, before int64) {
	t.Helper()
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Offset = before
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic, topic.Partitions = cluster.Topic, []kmsg.DeleteRecordsRequestTopicPartition{partition}
	request := kmsg.NewDeleteRecordsRequest()
	request.Topics = append(request.Topics, topic)
	if _, err := request.RequestWith(soon(t), client); err != nil {
		t.Fatal(err)
	}
}
