package contract

import (
	"errors"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/refusal"
	"github.com/clusterlite/clusterlite/projections/storagefault"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Unready returns a problem that explains why the node can't serve a request, if err reports a
// fault of the node itself: of its storage, or of the way it follows the log. consequence is a
// sentence that says what was not done, and who can do it. For any other error, Unready returns
// nil.
func Unready(err error, consequence string) *problem.Problem {
	if err == nil {
		return nil
	}
	var storage *storagefault.Error
	var refused *refusal.Error
	var failing *projections.ApplyError
	var unreadable *projections.ReadPathError
	switch {
	case errors.As(err, &storage):
		return problem.NotReady.Because(err, storageDetails[storage.Fault]+" "+consequence)
	case errors.As(err, &refused):
		return problem.NotReady.Because(err, "This node has stopped following the log. "+consequence)
	case errors.As(err, &failing):
		return problem.NotReady.Because(err, "This node currently can't apply the log. "+consequence)
	case errors.As(err, &unreadable):
		return problem.NotReady.Because(err, "This node currently can't read its projection. "+consequence)
	}
	return nil
}

// storageDetails describe faults without the path of the file, which clients must not see.
var storageDetails = map[storagefault.Kind]string{
	storagefault.Corrupt:  "This node's projection file is damaged.",
	storagefault.IO:       "This node can't read or write its projection file.",
	storagefault.Replaced: "This node's projection file was deleted or replaced.",
	storagefault.Full:     "The disk of this node is full.",
	storagefault.Locked:   "Another process holds a lock on this node's projection file.",
}
