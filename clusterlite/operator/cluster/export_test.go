package cluster

// Roll is the result of clusterlite nodes list.
type Roll = roll
