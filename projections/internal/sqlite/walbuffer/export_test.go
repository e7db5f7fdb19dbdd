package walbuffer

var Writes = writes
