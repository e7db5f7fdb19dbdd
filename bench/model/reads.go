package main

// clientCost returns the processor time of the client for one request, in microseconds. While
// the bare handler keeps all cores busy, the client uses the time that the handler does not
// use.
func (p points) clientCost() float64 {
	return float64(p.Cores)*1e6/p.Bare.PerSecond - p.Bare.CPU
}

// most returns how many requests with this processor time keep all cores busy, with the client
// on the same machine (the utilization law).
func (p points) most(cpu float64) float64 {
	return float64(p.Cores) * 1e6 / (cpu + p.clientCost())
}
