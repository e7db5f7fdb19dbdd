package projections

import (
	"fmt"
	"strings"
)

// Reason names why a projection refuses to go on. The words are stable.
type Reason string

// The reasons.
const (
	// RefusedTopic: the file was built from another topic.
	RefusedTopic Reason = "other-topic"
	// RefusedUnfit: the topic is set up so that it would lose events, or their order.
	RefusedUnfit Reason = "unfit-topic"
	// RefusedAhead: the file has applied more records than the log holds.
	RefusedAhead Reason = "ahead-of-log"
	// RefusedOther: the log holds another record than the last that was applied.
	RefusedOther Reason = "other-record"
	// RefusedGap: the next record to apply was deleted from the log.
	RefusedGap Reason = "gap-in-log"
	// RefusedSchema: the file has tables of another version.
	RefusedSchema Reason = "other-schema"
	// RefusedFormat: the next record needs a newer version of ClusterLite.
	RefusedFormat Reason = "newer-format"
)

// onlyCopy is what to do where this node's file may have what the log lost.
const onlyCopy = "This node's files may be the only copy of them: stop the node and save the files with `clusterlite snapshot create STORE --data-dir DIR`. To continue with this node's state, recreate the log from that snapshot with `clusterlite snapshot append STORE`. To continue with the log, rebuild the node with `clusterlite rebuild --data-dir DIR`, which reports how many entities would be lost; with --force it replaces the old file and keeps it."

// remedy says what an operator does about each reason.
var remedy = map[Reason]string{
	RefusedTopic:  "If the settings name the wrong topic or cluster, correct them. If the topic was lost, this node's file still has the entities: save them with `clusterlite snapshot create STORE --data-dir DIR`, and recreate the log from them with `clusterlite snapshot append STORE`. If the topic was recreated on purpose, `clusterlite rebuild --data-dir DIR` rebuilds this node from what the topic holds now.",
	RefusedUnfit:  "Then start the node again.",
	RefusedAhead:  "The log lost records that this node had applied, for example in an unclean leader election or because a broker was restored. " + onlyCopy,
	RefusedOther:  "The log lost records that this node had applied, and other records took their place. " + onlyCopy,
	RefusedGap:    "Start the node with a copy of another node's projection file that has applied more records, or restore the missing records. Set the retention of the topic to unlimited.",
	RefusedSchema: "Install the version that wrote the file, or rebuild the folder from the log with `clusterlite rebuild --data-dir`.",
	RefusedFormat: "Install a newer version of ClusterLite and start it with the same data folder.",
}

// RefusedError is returned by a projection that can't go on without risking wrong
// answers, and needs a person. It holds until the process is started anew, but for
// [RefusedAhead], which ends once the log has again what was applied.
type RefusedError struct {
	Reason Reason
	// Detail says what was found.
	Detail string
}

// Error says what was found and what to do.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s: %s. %s", e.Reason, strings.TrimSuffix(e.Detail, "."), remedy[e.Reason])
}
