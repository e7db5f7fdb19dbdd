package readmodel

// These are the results of the subcommands.
type (
	Stored        = stored
	Rebuilds      = rebuilds
	Replayed      = replayed
	RebuiltFolder = rebuiltFolder
	Restored      = restored
	Listed        = listed
	Pruned        = pruned
	Verified      = verified
	Appended      = appended
)
