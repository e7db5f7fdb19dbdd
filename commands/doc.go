// Package commands executes the commands of clients by appending events.
//
// A command is decided on the write model, a projection of the log like any other, and becomes an
// event that is appended at once. Command services need no lock, leader or fencing token, because
// the log decides: the service waits until its own write model has read the event back, and
// responds according to the verdict of admission. A command is never rejected on state that may
// be stale, unless the client allows it.
package commands
