package snapshots_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/service/node/snapshots"
	"github.com/clusterlite/clusterlite/service/node/snapshots/internal/buckettest"
)

func TestFolder(t *testing.T) {
	for _, prefix := range []string{"", "nightly-", "clusterlite/nightly-", "one/two/"} {
		t.Run(prefix, func(t *testing.T) {
			dir := t.TempDir()
			b, err := snapshots.OpenFolder(dir, prefix)
			if err != nil {
				t.Fatal(err)
			}
			buckettest.Run(t, b)
			if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(prefix)+"a-1")); err != nil {
				t.Error(err)
			}
			partial, err := filepath.Glob(filepath.Join(dir, "*", "*.partial-*"))
			if err != nil || len(partial) > 0 {
				t.Errorf("got %v, %v, want no partial file", partial, err)
			}
		})
	}
}

func TestFolderURL(t *testing.T) {
	dir := t.TempDir()
	for place, want := range map[string]string{
		"file://" + dir: "",
		"file://" + dir + "?metadata=skip&prefix=a/": "",
		"file://" + dir + "?prefix=../a":             "leads out of the folder",
		"file://" + dir + "?dir_file_mode=0777":      "unknown parameter",
		"file://backups":                             "needs an absolute path",
		"file://host" + dir:                          "needs an absolute path",
	} {
		s, err := (snapshots.Providers{}).Open(t.Context(), place)
		if err == nil {
			err = s.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", place, err, want)
		}
	}
}
