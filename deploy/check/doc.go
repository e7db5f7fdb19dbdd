// Package check holds tests of what is in deploy: they have a module of their own, since
// the types of Kubernetes and the parser of Prometheus are nothing for the product.
package check
