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
const onlyCopy = "The projection's files may be the only copy of them: stop the node and save them with `clusterlite snapshot create STORE --data-dir DIR`. To go on with what they hold, make a new log of the snapshot with `clusterlite snapshot append STORE`. To go on with what the log holds, build them again with `clusterlite rebuild --data-dir DIR`: it says how many entities would be lost, and with --force keeps the old file."

// remedy says what an operator does about each reason.
var remedy = map[Reason]string{
	RefusedTopic:  "If the setting names the wrong topic or cluster, correct it. If the topic was lost, this node's file still has the entities: save them with `clusterlite snapshot create STORE --data-dir DIR`, and make a new log of them with `clusterlite snapshot append STORE`. If the topic was made again on purpose, `clusterlite rebuild --data-dir DIR` builds this node's folder from what it holds now.",
	RefusedUnfit:  "Then start the node again.",
	RefusedAhead:  "The log lost records that this node had applied (an unclean leader election, or a restored broker). " + onlyCopy,
	RefusedOther:  "The log lost records that this node had applied, and others came in their place. " + onlyCopy,
	RefusedGap:    "Start the node with a copy of another node's projection file that is further on, or put the missing records back. Retention of the topic must be unlimited.",
	RefusedSchema: "Install the version that made the file, or build the folder again from the log with `clusterlite rebuild --data-dir`.",
	RefusedFormat: "Install a newer version of ClusterLite and start it on the same data folder.",
}

// ErrRefused is returned by a projection that can't go on without risking wrong
// answers, and needs a person. It holds until the process is started anew, but for
// [RefusedAhead], which ends once the log has again what was applied.
type ErrRefused struct {
	Reason Reason
	// Detail says what was found.
	Detail string
}

// Error says what was found and what to do.
func (e *ErrRefused) Error() string {
	return fmt.Sprintf("%s: %s. %s", e.Reason, strings.TrimSuffix(e.Detail, "."), remedy[e.Reason])
}
