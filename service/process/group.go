package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// A Group owns what a program has started: running parts, and things to close. Parts stop
// in the reverse order of their start, each only once those started after it have stopped,
// because later parts depend on earlier ones. Use it from one goroutine.
type Group struct {
	parts  []part
	failed chan error
	once   sync.Once
}

type part struct {
	name string
	stop func() error
}

// NewGroup returns an empty group.
func NewGroup() *Group { return &Group{failed: make(chan error, 1)} }

// Go starts a part. Its context ends when its turn to stop comes. A part that returns
// earlier, with or without an error, stops the group.
func (g *Group) Go(name string, run func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			if err == nil {
				err = errors.New("ended unexpectedly")
			}
			g.fail(fmt.Errorf("%s: %w", name, err))
			err = nil // it was returned already
		}
		done <- err
	}()
	g.parts = append(g.parts, part{name, func() error { cancel(); return <-done }})
}

// Defer adds a function to call at its turn in Stop.
func (g *Group) Defer(name string, stop func() error) {
	g.parts = append(g.parts, part{name, stop})
}

func (g *Group) fail(err error) { g.once.Do(func() { g.failed <- err }) }

// Wait waits until ctx ends and returns nil, or until a part fails and returns its error.
func (g *Group) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-g.failed:
		return err
	}
}

// Stop stops everything and returns all errors.
func (g *Group) Stop() error {
	var errs []error
	for i := len(g.parts) - 1; i >= 0; i-- {
		if err := g.parts[i].stop(); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", g.parts[i].name, err))
		}
	}
	g.parts = nil
	return errors.Join(errs...)
}
