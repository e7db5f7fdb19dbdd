package reload_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterlite/clusterlite/service/process/reload"
)

// number is a value whose files must hold one whole number.
func number(contents [][]byte) (int, error) { return strconv.Atoi(string(contents[0])) }

func TestValueFollowsItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "number")
	write(t, path, "1")
	synctest.Test(t, func(t *testing.T) {
		var reports []string
		v, err := reload.Open(number, func(err error) { reports = append(reports, err.Error()) }, path)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			content string // removes the file if empty
			want    int
			reports int
		}{{"1", 1, 0}, {"2", 2, 0}, {"none", 2, 1}, {"none", 2, 1}, {"", 2, 2}, {"", 2, 2}, {"3", 3, 2}} {
			if step.content == "" {
				_ = os.Remove(path)
			} else {
				write(t, path, step.content)
			}
			time.Sleep(reload.Interval)
			if got := v.Get(); got != step.want {
				t.Errorf("with content %q: got %d, want %d", step.content, got, step.want)
			}
			if len(reports) != step.reports {
				t.Errorf("with content %q: got reports %q, want %d", step.content, reports, step.reports)
			}
		}
		for _, report := range reports {
			if !strings.Contains(report, "stays in effect") {
				t.Errorf("got report %q, want that the previous content stays in effect", report)
			}
		}
	})
}

func TestOpenNeedsAUsableFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "number")
	if _, err := reload.Open(number, nil, path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: got %v, want %v", err, os.ErrNotExist)
	}
	write(t, path, "none")
	if _, err := reload.Open(number, nil, path); !errors.Is(err, strconv.ErrSyntax) {
		t.Errorf("with unusable content: got %v, want %v", err, strconv.ErrSyntax)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
