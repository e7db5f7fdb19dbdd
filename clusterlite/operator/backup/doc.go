// Package backup takes snapshots on a schedule: when one is due, one at a time, each with a
// deadline, with retries, logs and metrics. Package readmodel says how a snapshot is taken.
package backup
