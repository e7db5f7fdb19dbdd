// Package refusal defines the error of a projection that needs an operator: its file and the
// log do not belong together, or it can't read the next record.
package refusal

import (
	"errors"
	"fmt"
	"strings"

	"github.com/clusterlite/clusterlite/events"
)

// Reason names the reason for which a projection stopped. The words are stable.
type Reason string

// The reasons.
const (
	// Topic: the file was built from another topic.
	Topic Reason = "other-topic"
	// Unfit: the topic's configuration would lose events, or their order.
	Unfit Reason = "unfit-topic"
	// Ahead: the file has applied more records than the log holds.
	Ahead Reason = "ahead-of-log"
	// Other: the log holds another record than the last that was applied.
	Other Reason = "other-record"
	// Gap: the next record to apply was deleted from the log.
	Gap Reason = "gap-in-log"
	// Schema: the file has tables of another version.
	Schema Reason = "other-schema"
	// Format: the next record needs a newer version of ClusterLite.
	Format Reason = "newer-format"
)

// onlyCopy says what to do if this node's file may have records that the log lost.
const onlyCopy = "This node's files may be the only copy of them: stop the node and save the files with `clusterlite snapshot create STORE --data-dir DIR`. To continue with this node's state, recreate the log from that snapshot with `clusterlite snapshot append STORE`. To continue with the log, rebuild the node with `clusterlite rebuild --data-dir DIR`, which reports how many entities would be lost; with --force it replaces the old file and keeps it."

// remedy says what an operator does about each reason.
var remedy = map[Reason]string{
	Topic:  "If the settings name the wrong topic or cluster, correct them. If the topic was lost, this node's file still has the entities: save them with `clusterlite snapshot create STORE --data-dir DIR`, and recreate the log from them with `clusterlite snapshot append STORE`. If the topic was recreated on purpose, `clusterlite rebuild --data-dir DIR` rebuilds this node from what the topic holds now.",
	Unfit:  "Then start the node again.",
	Ahead:  "The log lost records that this node had applied, for example in an unclean leader election or because a broker was restored. " + onlyCopy,
	Other:  "The log lost records that this node had applied, and other records took their place. " + onlyCopy,
	Gap:    "Start the node with a copy of another node's projection file that has applied more records, or restore the missing records. Set the retention of the topic to unlimited.",
	Schema: "Install the version that wrote the file, or rebuild the folder from the log with `clusterlite rebuild --data-dir`.",
	Format: "Install a newer version of ClusterLite and start it with the same data folder.",
}

// Error means that a projection can't continue without risking wrong answers, and needs an
// operator. It is final until the process restarts, except for [Ahead], which ends once the log
// has the missing records again.
type Error struct {
	Reason Reason
	// Detail says what was found.
	Detail string
}

// Error says what was found, and what to do.
func (e *Error) Error() string {
	return fmt.Sprintf("%s: %s. %s", e.Reason, strings.TrimSuffix(e.Detail, "."), remedy[e.Reason])
}

// FromFormat turns an [events.NewerFormatError], which means that this version can't read a
// record, into an [Error]. It returns any other error unchanged.
func FromFormat(err error) error {
	if newer := (*events.NewerFormatError)(nil); errors.As(err, &newer) {
		return &Error{Reason: Format, Detail: newer.Error()}
	}
	return err
}
