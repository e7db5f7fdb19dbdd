// Package buckettest has the tests that each implementation of snapshots.Bucket must pass.
package buckettest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/upload"
)

// Run tests an empty bucket.
func Run(t *testing.T, b snapshots.Bucket) {
	t.Run("no objects", func(t *testing.T) {
		same(t, names(t, b, "a-"))
		exists(t, b, "a-1", false)
		r, err := b.Open(t.Context(), "a-1")
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, %v, want an error that wraps fs.ErrNotExist", r, err)
		}
	})
	for name, size := range map[string]int{"one byte": 1, "one part": upload.PartSize, "parts": 2*upload.PartSize + 3} {
		t.Run(name, func(t *testing.T) {
			content := random(size)
			write(t, b, "a-1", content)
			exists(t, b, "a-1", true)
			if got := read(t, b, "a-1"); !bytes.Equal(got, content) {
				t.Errorf("got %d bytes that differ, want the %d that were written", len(got), size)
			}
			objects, _, err := b.List(t.Context(), "a-", "")
			if err != nil || len(objects) != 1 || objects[0].Size != int64(size) || objects[0].ModTime.IsZero() {
				t.Errorf("got %+v, %v, want one object of %d bytes with a time", objects, err, size)
			}
		})
	}
	t.Run("list", func(t *testing.T) {
		for _, name := range []string{"a-2", "b-1", "a-3"} {
			write(t, b, name, []byte(name))
		}
		same(t, names(t, b, "a-"), "a-1", "a-2", "a-3")
		same(t, names(t, b, "b"), "b-1")
	})
	t.Run("ended context", func(t *testing.T) {
		for name, size := range map[string]int{"little": 1, "much": upload.PartSize + 1} {
			ctx, cancel := context.WithCancel(t.Context())
			w, err := b.Create(ctx, "c-1")
			if err == nil {
				_, err = w.Write(random(size))
			}
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			if err := w.Close(); !errors.Is(err, context.Canceled) {
				t.Errorf("%s: got %v, want context.Canceled", name, err)
			}
			exists(t, b, "c-1", false)
		}
	})
	t.Run("remove", func(t *testing.T) {
		if err := b.Remove(t.Context(), "a-2"); err != nil {
			t.Error(err)
		}
		same(t, names(t, b, "a-"), "a-1", "a-3")
		exists(t, b, "a-2", false)
	})
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// noise is content that does not repeat.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 2*upload.PartSize+3)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
})

func random(size int) []byte { return noise()[:size] }

func write(t *testing.T, b snapshots.Bucket, name string, content []byte) {
	t.Helper()
	w, err := b.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(content)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, b snapshots.Bucket, name string) []byte {
	t.Helper()
	r, err := b.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return content
}

func exists(t *testing.T, b snapshots.Bucket, name string, want bool) {
	t.Helper()
	if got, err := b.Exists(t.Context(), name); err != nil || got != want {
		t.Errorf("%s exists: got %t, %v, want %t", name, got, err, want)
	}
}

func names(t *testing.T, b snapshots.Bucket, prefix string) (all []string) {
	t.Helper()
	for page := ""; ; {
		objects, next, err := b.List(t.Context(), prefix, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			all = append(all, o.Name)
		}
		if page = next; page == "" {
			slices.Sort(all)
			return all
		}
	}
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got the objects %v, want %v", got, want)
	}
}
