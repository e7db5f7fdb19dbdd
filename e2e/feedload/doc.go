// Package feedload measures the change feed under many clients. They run in a process of their own, so that
// their processor time is measured apart from that of the store. One goroutine serves all of them. The
// package needs Linux.
package feedload
