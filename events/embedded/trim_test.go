package embedded

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Records that a client deleted are not damage, even right before a crash. The same holds for a
// topic that was deleted and created again.
func TestDeletionsAreNoDamage(t *testing.T) {
	dir := t.TempDir()
	b := start(t, dir)
	c := client(t, b)
	makeTopic(t, c, "segment.bytes", "1500")
	acknowledged := write(t, c, 0, 40)
	if err := settle(b); err != nil {
		t.Fatal(err)
	}
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Offset = 20
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic, topic.Partitions = testTopic, append(topic.Partitions, partition)
	request := kmsg.NewDeleteRecordsRequest()
	request.Topics = append(request.Topics, topic)
	if answer, err := request.RequestWith(soon(t), c); err != nil || answer.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("got %v, %+v, want the records deleted", err, answer)
	}
	killed := contents(t, kill(t, dir))
	if _, there := killed[segmentFile("0.dat")]; there {
		t.Fatal("got the first segment, want it deleted")
	}
	if d := holds(t, killed, acknowledged[20:]); d != nil {
		t.Error(d)
	}

	deleted := kmsg.NewDeleteTopicsRequestTopic()
	deleted.Topic = kmsg.StringPtr(testTopic)
	deletion := kmsg.NewDeleteTopicsRequest()
	deletion.TopicNames, deletion.Topics = []string{testTopic}, append(deletion.Topics, deleted)
	if _, err := deletion.RequestWith(soon(t), c); err != nil {
		t.Fatal(err)
	}
	if d := holds(t, contents(t, kill(t, dir)), nil); d != nil {
		t.Errorf("without the topic: got the refusal %v, want none", d)
	}
	makeTopic(t, c)
	if d := holds(t, contents(t, kill(t, dir)), nil); d != nil {
		t.Errorf("with the new topic: got the refusal %v, want none", d)
	}
	again := write(t, client(t, b), 100, 3)
	killed = contents(t, kill(t, dir))
	if d := holds(t, killed, again); d != nil {
		t.Errorf("with records in the new topic: got the refusal %v, want none", d)
	}
	// The broker acknowledges the first record of a topic only once the mark has the topic.
	if d := holds(t, edited(killed, "topics.json", func(s string) string { return strings.Replace(s, testTopic, "other", 1) }), again); d != nil {
		t.Errorf("with the topic's name damaged: got the refusal %v, want none", d)
	}
}
