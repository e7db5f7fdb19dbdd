// Package queryapi answers reads from a projection. By default, a read sees every write that was
// acknowledged before the read began: the node asks the broker for the end of the log, waits
// until its projection has reached it, and then reads its own file.
package queryapi
