package reference_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/clusterlite/clusterlite/queryapi/reference"
)

// The file in the binary is the file of the npm package, byte for byte.
func TestScalarIsTheNamedVersion(t *testing.T) {
	b, err := os.ReadFile("files/scalar.sha256")
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := strings.Cut(string(b), " ")
	files, err := reference.Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		if !strings.HasPrefix(name, "scalar-") {
			continue
		}
		plain, err := f.Plain()
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(plain); hex.EncodeToString(sum[:]) != want {
			t.Errorf("got the hash %x of scalar.js, want %s", sum, want)
		}
		r, err := gzip.NewReader(bytes.NewReader(f.Gzip))
		if err != nil {
			t.Fatal(err)
		}
		if unzipped, err := io.ReadAll(r); err != nil || !bytes.Equal(unzipped, plain) {
			t.Errorf("got another file after decompression, %v, want the same", err)
		}
		return
	}
	t.Error("got no scalar.js, want one")
}

func TestPageNamesFilesByTheirContent(t *testing.T) {
	files, err := reference.Files()
	if err != nil {
		t.Fatal(err)
	}
	page, err := files[reference.Page].Plain()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, []byte(`<meta name="viewport"`)) || bytes.Contains(page, []byte("{{")) {
		t.Errorf("got the page %s, want a viewport and no placeholder", page)
	}
	named := 0
	for _, match := range regexp.MustCompile(`(?:src|href)="/docs/([^"]*)"`).FindAllSubmatch(page, -1) {
		f, ok := files[string(match[1])]
		if !ok || !f.Immutable || !strings.Contains(string(match[1]), strings.Trim(f.ETag, `"`)) {
			t.Errorf("the page names %s: got %+v, want an immutable file with its tag in its name", match[1], f)
		}
		named++
	}
	if named != 3 {
		t.Errorf("got %d files named by the page, want 3", named)
	}
}
