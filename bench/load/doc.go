// Package load sends requests to a store: in a closed loop with wrk, at a constant rate, or one by
// one.
package load
