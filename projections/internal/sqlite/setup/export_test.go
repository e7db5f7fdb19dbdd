package setup

var MemoryUsed = memoryUsed
