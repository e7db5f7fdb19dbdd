// Package commands takes clients' wishes and makes events of them.
//
// A command is decided on the write model, a projection of the log like any other, and
// becomes an event that is appended at once. No lock, leader or fence keeps two command
// services apart: the log decides. The service waits until its own write model has read
// the event back, and answers by the verdict of admission. A rejection is never given on
// a state that may be stale.
package commands
