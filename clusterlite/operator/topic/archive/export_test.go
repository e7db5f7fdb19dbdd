package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/clusterlite/clusterlite/clusterlite/operator/topic/archive"
	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/projections/offline"
	"github.com/clusterlite/clusterlite/projections/refusal"
	"github.com/clusterlite/clusterlite/service/servicetest"
)

func TestExportStops(t *testing.T) {
	t.Parallel()
	from := newStore(t).holds(many(2500)...)
	t.Run("at a position, whatever is written meanwhile", func(t *testing.T) {
		var b bytes.Buffer
		done, err := archive.Export(servicetest.Context(t), archive.ExportOptions{Log: from.Log, Until: offline.UntilPosition(7), Progress: func(string, int64, int64, string) {
			from.holds(user(8000+int(from.end()), events.Created, 1, 8000+int(from.end())))
		}}, &b)
		all, trailer, readErr := readAll(b.Bytes())
		if err := errors.Join(err, readErr); err != nil || len(all) != 7 || trailer.Position != 7 || !cmp.Equal(trailer, done.Trailer) {
			t.Errorf("got %d events, %+v, %v, want 7 events at position 7", len(all), trailer, err)
		}
	})
	t.Run("when its context is cancelled", func(t *testing.T) {
		ctx, stop := context.WithCancel(servicetest.Context(t))
		_, err := archive.Export(ctx, archive.ExportOptions{Log: from.Log, Progress: func(string, int64, int64, string) { stop() }}, &bytes.Buffer{})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
	t.Run("before what it can't read", func(t *testing.T) {
		s := newStore(t).holds(few()...)
		newer := &kgo.Record{Headers: []kgo.RecordHeader{{Key: "ce_specversion", Value: []byte("1.0")}, {Key: "ce_type", Value: []byte("clusterlite.x")}, {Key: "ce_format", Value: []byte("7")}}}
		s.raw(newer)
		_, err := archive.Export(servicetest.Context(t), archive.ExportOptions{Log: s.Log, Progress: quietly}, &bytes.Buffer{})
		var refused *refusal.Error
		if !errors.As(err, &refused) || refused.Reason != refusal.Format {
			t.Errorf("got %v, want a refusal because of the format", err)
		}
	})
}

func TestFilesAreCompleteOrAbsent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.jsonl")
	f, err := archive.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Discard(); err != nil {
		t.Error(err)
	}
	if found, err := os.ReadDir(dir); err != nil || len(found) != 0 {
		t.Errorf("discarded: got the files %v, %v, want none", found, err)
	}
	one, err := archive.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	two, err := archive.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := two.Commit(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second file of the name: got %v, want %v", err, fs.ErrExist)
	}
	if _, err := archive.Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a third file of the name: got %v, want %v", err, fs.ErrExist)
	}
	if found, err := os.ReadDir(dir); err != nil || len(found) != 1 {
		t.Errorf("got the files %v, %v, want one", found, err)
	}
}
