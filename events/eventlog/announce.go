package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/IBM/sarama"

	"github.com/clusterlite/clusterlite/events"
)

// groupPrefix is the prefix of the consumer groups to which nodes commit.
const groupPrefix = "clusterlite."

// An Announcement is what a node reports about itself to the broker: a committed offset of the
// group clusterlite.<node>, so that Kafka's own tools show its lag, and a note. A node never
// starts from it, because the position in its file is authoritative.
type Announcement struct {
	// Node is the name of the node.
	Node string
	// Position is the position that the node had reached.
	Position events.Position
	// Note is additional text of at most a few kilobytes (Kafka's offset.metadata.max.bytes, 4096
	// by default).
	Note string
}

// announcer commits announcements over its own connection, which it opens when it is first needed
// and reopens after a failure.
type announcer struct {
	mu          sync.Mutex
	client      sarama.Client
	connections *connections
}

// Announce commits an announcement for the topic of the log. The group needs no members. The
// error wraps [ErrUnreachable] if no broker accepts the announcement. A retry may be needed for
// the very first one, until the broker has created its topic for offsets. If ctx ends first, the
// error is ctx.Err(), and the broker may still accept the announcement.
func (l *Log) Announce(ctx context.Context, a Announcement) error {
	if !l.Reachable() {
		return ErrUnreachable
	}
	done := make(chan error, 1)
	if !l.do(func() { done <- l.announcer.commit(ctx, l, a) }) {
		return ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return ErrClosed
	}
}

func (n *announcer) commit(ctx context.Context, l *Log, a Announcement) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err // ctx ended while others announced
	}
	defer func() {
		if err != nil {
			n.disconnect()
			err = fmt.Errorf("%w: announce %s: %w", ErrUnreachable, a.Node, err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, l.config.connectPatience())
	defer cancel()
	if n.client == nil {
		config := l.askConfig()
		n.connections = l.dialWith(l.ctx, config)
		defer context.AfterFunc(ctx, n.connections.Cut)()
		if n.client, err = sarama.NewClient(l.config.Brokers, config); err != nil {
			n.connections.Cut()
			n.client = nil // not a nil pointer in an interface
			return err
		}
	} else {
		defer context.AfterFunc(ctx, n.connections.Cut)()
	}
	group := groupPrefix + a.Node
	coordinator, err := n.client.Coordinator(group)
	if err != nil {
		return err
	}
	request := sarama.NewOffsetCommitRequest(n.client.Config(), group)
	request.AddBlockWithLeaderEpoch(l.config.Topic, partition, int64(a.Position), -1, 0, a.Note)
	response, err := coordinator.CommitOffset(request)
	if err != nil {
		return err
	}
	if code := response.Errors[l.config.Topic][partition]; code != sarama.ErrNoError {
		return code
	}
	return nil
}

// disconnect drops the client. Another broker may coordinate the group by now.
func (n *announcer) disconnect() {
	if n.client != nil {
		_ = n.client.Close() // there is nothing to lose
		n.connections.Cut()
		n.client = nil
	}
}

func (n *announcer) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.disconnect()
}

// Announcements returns the announcements of nodes for the topic of the log, sorted by name. The
// broker drops an announcement some days after the last commit (Kafka's
// offsets.retention.minutes).
func (l *Log) Announcements(ctx context.Context) ([]Announcement, error) {
	return withAdmin(ctx, l, func(_ sarama.Client, admin sarama.ClusterAdmin) ([]Announcement, error) {
		groups, err := admin.ListConsumerGroups()
		if err != nil {
			return nil, fmt.Errorf("list the groups of nodes: %w: %w", ErrUnreachable, err)
		}
		all := []Announcement{}
		for group := range groups {
			node, ours := strings.CutPrefix(group, groupPrefix)
			if !ours {
				continue
			}
			a, there, err := l.announcement(admin, group, node)
			if err != nil {
				return nil, fmt.Errorf("read what node %s announced: %w: %w", node, ErrUnreachable, err)
			}
			if there {
				all = append(all, a)
			}
		}
		slices.SortFunc(all, func(a, b Announcement) int { return strings.Compare(a.Node, b.Node) })
		return all, nil
	})
}

// Announced returns the announcement of one node for the topic of the log. found is false if there is
// none.
func (l *Log) Announced(ctx context.Context, node string) (a Announcement, found bool, err error) {
	known, err := withAdmin(ctx, l, func(_ sarama.Client, admin sarama.ClusterAdmin) (*Announcement, error) {
		switch a, there, err := l.announcement(admin, groupPrefix+node, node); {
		case err != nil:
			return nil, fmt.Errorf("read what node %s announced: %w: %w", node, ErrUnreachable, err)
		case !there:
			return nil, nil //nolint:nilnil // the node has announced nothing
		default:
			return &a, nil
		}
	})
	if err != nil || known == nil {
		return Announcement{}, false, err
	}
	return *known, true, nil
}

func (l *Log) announcement(admin sarama.ClusterAdmin, group, node string) (a Announcement, there bool, err error) {
	offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{l.config.Topic: {partition}})
	if err != nil {
		return a, false, err
	}
	block := offsets.GetBlock(l.config.Topic, partition)
	if block == nil || block.Offset < 0 { // a node of another topic
		return a, false, nil
	}
	if !errors.Is(block.Err, sarama.ErrNoError) {
		return a, false, block.Err
	}
	return Announcement{Node: node, Position: events.Position(block.Offset), Note: block.Metadata}, true, nil
}

// Forget removes the announcement of a node for the topic of the log. found is false if there is
// none. A running node announces itself again.
func (l *Log) Forget(ctx context.Context, node string) (found bool, err error) {
	return withAdmin(ctx, l, func(_ sarama.Client, admin sarama.ClusterAdmin) (bool, error) {
		group := groupPrefix + node
		if _, there, err := l.announcement(admin, group, node); err != nil || !there {
			return false, err
		}
		if err := admin.DeleteConsumerGroupOffset(group, l.config.Topic, partition); err != nil {
			return true, fmt.Errorf("forget node %s: %w", node, err)
		}
		return true, nil
	})
}
