package ratelimit

import "time"

// MaxClients is the maximum number of buckets.
const MaxClients = maxClients

// SetClock replaces the clock of a limiter that is not in use.
func SetClock(l *Limiter, now func() time.Time) { l.now = now }

// Buckets returns how many buckets a limiter keeps.
func Buckets(l *Limiter) int { return l.buckets.Len() }
