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

// groupPrefix begins the names of the consumer groups that nodes commit to.
const groupPrefix = "clusterlite."

// An Announcement is what a node tells the broker of itself: a committed offset of the
// group clusterlite.<node>, so that Kafka's own tools show how far it is, and a note.
// No node ever starts from it: the position in its file is the truth.
type Announcement struct {
	// Node is the node's name.
	Node string
	// Position is how far it was.
	Position events.Position
	// Note is what else it said, at most a few kilobytes (Kafka's
	// offset.metadata.max.bytes, 4096 by default).
	Note string
}

// announcer commits announcements over a connection of its own, made when it is first
// needed and again after a failure.
type announcer struct {
	mu          sync.Mutex
	client      sarama.Client
	connections *connections
}

// Announce commits an announcement for the log's topic. The group needs no members. It
// returns an error that wraps [ErrUnreachable] if no broker takes it (the first of all may
// have to be tried again, until the broker has made its topic for offsets), and ctx.Err()
// if ctx ends first; it may then be taken all the same.
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
		return err // others took so long
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
		defer context.AfterFunc(ctx, n.connections.cut)()
		if n.client, err = sarama.NewClient(l.config.Brokers, config); err != nil {
			n.connections.cut()
			n.client = nil // not a nil pointer within an interface
			return err
		}
	} else {
		defer context.AfterFunc(ctx, n.connections.cut)()
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

// disconnect forgets the client: another broker may coordinate the group by now.
func (n *announcer) disconnect() {
	if n.client != nil {
		_ = n.client.Close() // nothing is lost with it
		n.connections.cut()
		n.client = nil
	}
}

func (n *announcer) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.disconnect()
}

// Announcements lists what nodes have announced for the log's topic, by name. The
// broker forgets an announcement some days after it was last made (Kafka's
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

// Forget removes what a node has announced for the log's topic. found is false if there
// is nothing. A node that lives announces itself again.
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
