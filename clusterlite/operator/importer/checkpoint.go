package importer

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/clusterlite/clusterlite/events/atomicfile"
)

// A checkpoint records the progress of an import: which part of its input is acknowledged.
// It is kept in a file until the import is done.
type checkpoint struct {
	URL        string `json:"url"`
	Collection string `json:"collection"`
	Key        string `json:"key"`
	// Lines and Bytes are the part of the input that is acknowledged, and Digest is its
	// SHA-256.
	Lines  int64  `json:"lines"`
	Bytes  int64  `json:"bytes"`
	Digest []byte `json:"digest"`
	// Created and Failed count the results of these lines.
	Created int64 `json:"created"`
	Failed  int64 `json:"failed"`
}

// loadCheckpoint reads the checkpoint of an earlier run, or returns a new one.
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
		return start, fmt.Errorf("read the progress of the import: %w", err)
	}
	p, err := parseCheckpoint(b)
	if err != nil {
		return start, &CheckpointError{o.Checkpoint, err}
	}
	if p.Lines == 0 {
		return start, nil // nothing was acknowledged, so nothing depends on it
	}
	if p.URL != o.URL || p.Collection != o.Collection || p.Key != o.Key {
		return start, fmt.Errorf("%s belongs to an unfinished import into %s at %s: finish that import with the same options, or delete the file to start again", o.Checkpoint, p.Collection, p.URL)
	}
	return p, nil
}

// A CheckpointError is returned for a file that is not a valid checkpoint.
type CheckpointError struct {
	File string
	Err  error
}

// Error describes the problem of the file, and how to continue.
func (e *CheckpointError) Error() string {
	return fmt.Sprintf("%s does not hold the progress of an import: %v. Nothing was sent. If it is the checkpoint of this import, delete it and run the same command again, which starts at the first line: "+
		"lines created less than a day ago under the same --key are not created again, but older ones are. If it is a different file, name the checkpoint with --checkpoint", e.File, e.Err)
}

// Unwrap returns the cause.
func (e *CheckpointError) Unwrap() error { return e.Err }

// parseCheckpoint reads a checkpoint that save wrote.
func parseCheckpoint(b []byte) (p checkpoint, err error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return p, errors.New("it is empty")
	}
	strict := json.NewDecoder(bytes.NewReader(b))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&p); err != nil {
		return p, err
	}
	if _, err := strict.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("unexpected content after the checkpoint")
	}
	if p.Lines < 0 || p.Bytes < 0 || p.Created < 0 || p.Failed < 0 || p.URL == "" || p.Collection == "" || len(p.Digest) == 0 {
		return p, errors.New("its content is invalid")
	}
	return p, nil
}

// save writes the checkpoint atomically, even if the power fails.
func (p checkpoint) save(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(p)
	if err == nil {
		err = atomicfile.Write(path, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("save the progress of the import: %w", err)
	}
	return nil
}

// remove removes the checkpoint of a completed import.
func (p checkpoint) remove(path string) error {
	if path == "" {
		return nil
	}
	return os.Remove(path)
}
