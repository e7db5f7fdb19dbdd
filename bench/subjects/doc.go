// Package subjects starts the stores that the benchmarks compare: ClusterLite, its alternatives, and
// servers that show the limits of the machine.
package subjects
