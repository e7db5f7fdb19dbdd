package feed

import (
	"embed"
	"io/fs"
	"os"
	"testing"

	"github.com/clusterlite/clusterlite/e2e/thirdparty"
)

//go:embed client
var client embed.FS

// PublishedClient follows the feed of a store with the client of the Durable Streams protocol from npm.
// It needs Node.js and npm. Other clients may write at the same time.
func PublishedClient(t *testing.T, url string) {
	t.Helper()
	files, err := fs.Sub(client, "client")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	thirdparty.NPM(t, dir)
	thirdparty.Run(t, dir, "node", "changes.mjs", url)
}
