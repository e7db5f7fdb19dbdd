// Package process builds programs, runs them, and reports how much processor time and memory they
// use.
package process
