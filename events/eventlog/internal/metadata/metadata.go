// Package metadata asks the brokers where a partition is.
package metadata

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Partition asks a broker for the leader and the replicas of a partition. It needs the permission
// DESCRIBE on the topic, and asks about no other topic. Its errors are those of [kerr] and of the
// client. With [kerr.LeaderNotAvailable], the replicas are known nevertheless.
func Partition(ctx context.Context, client *kgo.Client, topic string, partition int32) (none kmsg.MetadataResponseTopicPartition, _ error) {
	request, asked := kmsg.NewPtrMetadataRequest(), kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	request.Topics = append(request.Topics, asked)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return none, err
	}
	for _, t := range response.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return none, err
		}
		for _, p := range t.Partitions {
			if p.Partition == partition {
				return p, kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	return none, kerr.UnknownTopicOrPartition
}
