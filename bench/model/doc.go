// Command model calculates what a store can carry. It combines a model of the processor time of
// writes that share batches, the utilization law, and the sum of what each node costs the
// others. Its inputs are measured points (points.json, taken from a run of `make bench`). A
// test checks that the model reproduces them.
//
//	go run ./bench/model             # print the tables of docs/explanation/scaling.md
//	go run ./bench/model -update     # take the points of the last `make bench`
package main
