package embedded

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Records that a client deletes are gone on purpose, right before a crash too; and so is a
// topic that is deleted and made again.
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
		t.Fatalf("%v, %+v", err, answer)
	}
	killed := contents(t, kill(t, dir))
	if _, there := killed[segmentFile("0.dat")]; there {
		t.Fatal("the first segment is still there")
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
		t.Errorf("without the topic: %v", d)
	}
	makeTopic(t, c)
	if d := holds(t, contents(t, kill(t, dir)), nil); d != nil {
		t.Errorf("with the new topic: %v", d)
	}
	again := write(t, client(t, b), 100, 3)
	killed = contents(t, kill(t, dir))
	if d := holds(t, killed, again); d != nil {
		t.Errorf("with records in the new topic: %v", d)
	}
	// The first record of a topic is acknowledged only once the mark has the topic.
	if d := holds(t, edited(killed, "topics.json", func(s string) string { return strings.Replace(s, testTopic, "other", 1) }), again); d != nil {
		t.Errorf("with the topic's name damaged: %v", d)
	}
}
