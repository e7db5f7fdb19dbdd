package subjects

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

// File returns the path of the read model of a store that was started in dir.
func (s *ClusterLite) File(dir string) string { return filepath.Join(dir, "data", "projection.db") }

// Import creates entities with one import. It returns the time until the last result
// arrived.
func (s *ClusterLite) Import(ctx context.Context, entities int) (time.Duration, error) {
	var lines bytes.Buffer
	for n := range entities {
		name, email := Person(n)
		fmt.Fprintf(&lines, "{\"name\":%q,\"email\":%q}\n", name, email)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/users", &lines)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/x-ndjson")
	began := time.Now()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	s.IDs = nil
	results := bufio.NewScanner(response.Body)
	for results.Scan() {
		var result struct {
			Status int
			ID     string
		}
		if err := json.Unmarshal(results.Bytes(), &result); err != nil || result.Status != http.StatusCreated {
			return 0, fmt.Errorf("got %s", results.Bytes())
		}
		s.IDs = append(s.IDs, result.ID)
	}
	if len(s.IDs) != entities {
		return 0, fmt.Errorf("got %d results of %d lines: %w", len(s.IDs), entities, results.Err())
	}
	return time.Since(began), nil
}
