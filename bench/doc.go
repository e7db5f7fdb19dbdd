// Command bench compares ClusterLite with what its users could pick instead, and with the
// limits of the machine. It builds and starts each subject on loopback, and measures them
// in turn, in rounds, so that what else the machine does hits all of them alike. Only the
// ratios within one run mean anything on another machine.
//
// It needs wrk, Go and a C compiler. `make bench` writes docs/benchmarks.md;
// `make bench-quick` prints a shorter run.
package main
