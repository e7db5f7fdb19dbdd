package overview

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/events"
)

// problemsOfTopic returns the problems of the topic that can lose events or prevent writes.
func problemsOfTopic(t Topic, unfit error) []string {
	problems := []string{}
	if unfit != nil {
		problems = append(problems, unfit.Error())
	}
	if t.Leader < 0 {
		problems = append(problems, fmt.Sprintf("topic %s has no leader, so nothing can be written", t.Name))
	}
	if in, all := len(t.InSync), len(t.Replicas); in < all {
		problem := fmt.Sprintf("topic %s is in sync on %d of %d brokers", t.Name, in, all)
		if in < t.MinInSync {
			problem += fmt.Sprintf("; below %d, nothing can be written", t.MinInSync)
		}
		problems = append(problems, problem)
	}
	return problems
}

// problemsOfNodes returns the nodes that don't serve, those that differ from others at the same
// position, and the read models and webhooks that have stopped. To compare nodes while they apply records, use verify.
func problemsOfNodes(all []Node, t Topic) []string {
	var problems []string
	running := false
	at := map[events.Position]Node{}
	for _, n := range all {
		running = running || n.State == Ready
		switch n.State {
		case Left:
			continue
		case Ready, Unready:
			problems = append(problems, differing(at, n, t)...)
		}
		problems = append(problems, problemsOfDisk(n)...)
		problems = append(problems, problemsOfModels(n)...)
		if n.State != Ready {
			problems = append(problems, fmt.Sprintf("node %s is %s: %s", n.Node, n.State, strings.TrimSuffix(n.Reason, ".")))
		}
	}
	if !running {
		problems = append(problems, "no node serves")
	}
	return append(problems, problemsOfWebhooks(all)...)
}

// littleRoom is the free space in bytes that a node's disk should have. Less is a problem
// if it is also less than a twentieth of the disk. The alert ClusterLiteDiskAlmostFull has
// the same bounds.
const littleRoom = 2e9

// problemsOfDisk reports a disk that is almost full: a node that can't write its projection
// doesn't serve.
func problemsOfDisk(n Node) []string {
	if n.Disk == nil || n.Disk.Free >= littleRoom || n.Disk.Free >= n.Disk.Size/20 {
		return nil
	}
	return []string{fmt.Sprintf("the disk of node %s has %d MB free of %d MB", n.Node, n.Disk.Free/1e6, n.Disk.Size/1e6)}
}

// differing compares a node with the first node at the same position.
func differing(at map[events.Position]Node, n Node, t Topic) []string {
	if n.TopicID != t.ID && n.TopicID != "" && t.ID != "" {
		return []string{fmt.Sprintf("node %s was built from a topic with id %s, but topic %s has id %s", n.Node, n.TopicID, t.Name, t.ID)}
	}
	other, there := at[n.Position]
	if !there {
		at[n.Position] = n
		return nil
	}
	var problems []string
	for _, collection := range union(n.Digests, other.Digests) {
		if n.Digests[collection] != other.Digests[collection] {
			problems = append(problems, fmt.Sprintf("nodes %s and %s differ in %s at position %d; clusterlite verify --deep shows where", other.Node, n.Node, collection, n.Position))
		}
	}
	return problems
}

// union returns the names in either map, sorted.
func union[V any](a, b map[string]V) []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(names)
	return slices.Compact(names)
}
