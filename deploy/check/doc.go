// Package check tests the files in deploy. It is a module of its own, so that the product does not
// depend on the types of Kubernetes and the parser of Prometheus.
package check
