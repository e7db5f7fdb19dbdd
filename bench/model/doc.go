// Command model says what a store carries: a model of the processor time of writes that
// share batches, the utilisation law, and a sum of what each node costs the others. Its inputs are measured points
// (points.json, taken from a run of `make bench`), and a test checks that it reproduces them.
//
//	go run ./bench/model             # print the tables of docs/explanation/scaling.md
//	go run ./bench/model -update     # take the points of the last `make bench`
package main
