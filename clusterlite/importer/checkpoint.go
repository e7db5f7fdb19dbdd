package importer

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A checkpoint is how far an import is: what of its input is acknowledged. It lies in a
// file until the import is done.
type checkpoint struct {
	URL        string `json:"url"`
	Collection string `json:"collection"`
	Key        string `json:"key"`
	// Lines and Bytes are the part of the input that is acknowledged, and Digest is its
	// SHA-256.
	Lines  int64  `json:"lines"`
	Bytes  int64  `json:"bytes"`
	Digest []byte `json:"digest"`
	// Created and Failed are what became of these lines.
	Created int64 `json:"created"`
	Failed  int64 `json:"failed"`
}

// loadCheckpoint reads the checkpoint of an earlier run, or gives a new one.
func loadCheckpoint(o Options) (checkpoint, error) {
	nothing := sha256.Sum256(nil)
	start := checkpoint{URL: o.URL, Collection: o.Collection, Key: o.Key, Digest: nothing[:]}
	if o.Checkpoint == "" {
		return start, nil
	}
	b, err := os.ReadFile(o.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return start, nil
	}
	if err != nil {
		return start, fmt.Errorf("read how far the import is: %w", err)
	}
	var p checkpoint
	if err := json.Unmarshal(b, &p); err != nil {
		return start, fmt.Errorf("%s is not the checkpoint of an import: %w", o.Checkpoint, err)
	}
	if p.Lines == 0 {
		return start, nil // nothing depends on it
	}
	if p.URL != o.URL || p.Collection != o.Collection || p.Key != o.Key {
		return start, fmt.Errorf("%s belongs to an import into %s at %s that is not done: finish it, or remove the file", o.Checkpoint, p.Collection, p.URL)
	}
	return p, nil
}

// save writes the checkpoint, whole or not at all.
func (p checkpoint) save(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("keep how far the import is: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("keep how far the import is: %w", err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keep how far the import is: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// remove forgets the checkpoint of an import that is done.
func (p checkpoint) remove(path string) error {
	if path == "" {
		return nil
	}
	return os.Remove(path)
}
