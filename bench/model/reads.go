package main

// clientCost is the processor time of the client for one request, in microseconds. While the
// bare handler keeps all cores busy, what it does not use itself is the client's.
func (p points) clientCost() float64 {
	return float64(p.Cores)*1e6/p.Bare.PerSecond - p.Bare.CPU
}

// most is how many requests of this processor time keep all cores busy, with the client on the
// same machine (the utilisation law).
func (p points) most(cpu float64) float64 {
	return float64(p.Cores) * 1e6 / (cpu + p.clientCost())
}
