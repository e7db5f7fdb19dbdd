package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// A Result is the result of a row's last measurement.
type Result struct {
	// Samples are the rounds, by subject.
	Samples map[string][]Sample `json:"samples,omitempty"`
	// Missing is the reason why there are no samples.
	Missing string    `json:"missing,omitempty"`
	At      time.Time `json:"at"`
	// Commit and Machine describe the measurement.
	Commit  string `json:"commit"`
	Machine string `json:"machine"`
	Command string `json:"command"`
}

// Results are stored from run to run, by the name of the row. A run of some rows keeps the
// results of the others.
type Results map[string]Result

// ReadResults reads the results of earlier runs. It returns none if the file does not exist.
func ReadResults(path string) (Results, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Results{}, nil
	}
	if err != nil {
		return nil, err
	}
	found := Results{}
	if err := json.Unmarshal(b, &found); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return found, nil
}

// Merged returns the newer results in place of the older ones of the same rows. A row that
// could not be measured this time keeps the samples of an earlier run.
func (r Results) Merged(newer Results) Results {
	all := maps.Clone(r)
	for name, n := range newer {
		if n.Missing != "" && len(all[name].Samples) > 0 {
			continue
		}
		all[name] = n
	}
	return all
}

// Write writes the results to a file.
func (r Results) Write(path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the file is public
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644) //nolint:gosec // the file is public
}
