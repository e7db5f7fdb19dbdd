// Package queryapi answers reads from a projection. By default a read sees every write
// that was acknowledged before it began: the node asks the broker where the log ends,
// waits until its projection is there, and then reads its own file.
package queryapi
