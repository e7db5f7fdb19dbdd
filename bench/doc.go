// Command bench compares ClusterLite with its alternatives and with the limits of the machine.
// It builds and starts each subject on loopback. It measures the subjects in turn, in rounds,
// so that other load on the machine affects all of them alike. Only the ratios within one run
// are valid on another machine.
//
// It needs wrk, Go and a C compiler. `make bench` writes docs/benchmarks.md;
// `make bench-quick` prints a shorter run.
package main
