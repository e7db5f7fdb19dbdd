// Package web is what every API listener has in common: an echo server with request
// ids, logs, metrics, CORS, problems for errors, limits against slow and large
// requests, and resources that know all their methods.
package web
