package main

// A workload is what clients do.
type workload int

const (
	getEventual workload = iota
	getStrong
	getLinearizable
	listEventual
	create
)

// A load is the requests of a workload for one subject.
type load struct {
	method, contentType string
	header              map[string]string
	// targets are paths with query that are asked for in turn.
	targets []string
	// body, if it is not empty, is sent with each request. In it, {n} is a number that no
	// other request has.
	body string
}

// A benchmark is one workload at one number of connections, and who is compared in it.
type benchmark struct {
	name        string
	work        workload
	connections int
	// against are the names of the subjects beside ClusterLite.
	against []string
}

var benchmarks = []benchmark{
	{"GET by id, eventual", getEventual, 64, []string{bareName, rqliteName, pocketBaseName}},
	{"GET by id, strong", getStrong, 64, []string{bareName, rqliteName}},
	{"GET by id, linearizable", getLinearizable, 64, []string{rqliteName}},
	{"list of 20, eventual", listEventual, 64, []string{bareName, rqliteName, pocketBaseName}},
	{"POST, 2 connections", create, 2, []string{naiveName, rqliteName, pocketBaseName}},
	{"POST, 64 connections", create, 64, []string{naiveName, rqliteName, pocketBaseName}},
	{"POST, 256 connections", create, 256, []string{naiveName, rqliteName, pocketBaseName}},
}
