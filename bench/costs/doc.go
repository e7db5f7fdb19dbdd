// Command costs runs the Go benchmarks that limits.txt names. It fails if one needs more
// allocations, compiled statements or bytes than its limit. These numbers are the same on a
// busy machine. Times are not, so there is no limit for a time.
//
//	go run ./bench/costs            # check
//	go run ./bench/costs -update    # measure, and set each limit a little above
//
// An exceeded limit is not always a mistake: -update raises it, and the commit explains what
// the cost is for.
package main
