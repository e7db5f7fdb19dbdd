// Command costs runs the Go benchmarks that limits.txt names, and fails if one needs more
// allocations, compiled statements or bytes than its limit. Such figures are the same on a
// busy machine; times are not, so there is no limit for any.
//
//	go run ./bench/costs            # check
//	go run ./bench/costs -update    # measure, and set each limit a little above
//
// A limit that is exceeded is not always a mistake: -update raises it, and the commit says
// what the cost buys.
package main
