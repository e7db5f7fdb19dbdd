package contract

import (
	"errors"

	"github.com/clusterlite/clusterlite/projections"
	"github.com/clusterlite/clusterlite/projections/refusal"
	"github.com/clusterlite/clusterlite/projections/storagefault"
	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// Unready tells a client why a node can't do what it asks, if err says that something is
// wrong with the node itself: with its storage, or with what it knows of the log. consequence
// is a sentence on what was not done and who may do it. It returns nil for any other error.
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

// storageDetails name a fault without the path of the file, which is not for clients.
var storageDetails = map[storagefault.Kind]string{
	storagefault.Corrupt:  "This node's projection file is damaged.",
	storagefault.IO:       "This node can't read or write its projection file.",
	storagefault.Replaced: "This node's projection file was deleted or replaced.",
	storagefault.Full:     "The disk of this node is full.",
	storagefault.Locked:   "Another process holds a lock on this node's projection file.",
}
