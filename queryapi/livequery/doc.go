// Package livequery follows the rows of a query: it sends them as server-sent events, and again whenever
// they have changed.
//
// All clients that follow the same query share one watch. The watch reads the rows once for each change,
// with a pause after each read that grows with the time that the read took. Memory is bounded by the number of
// watches and the size of what one query may show, and the rest by what clients take of the memory of requests.
package livequery
