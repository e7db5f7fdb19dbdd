// Package feedload measures the change feed under many clients. They run in a process of their own, so that
// their processor time can be told from that of the store, and one goroutine serves all of them. It needs
// Linux.
package feedload
