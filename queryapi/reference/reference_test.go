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

// What is in the binary is what the npm package has, byte for byte.
func TestScalarIsTheVersionThatIsNamed(t *testing.T) {
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
			t.Errorf("the hash of scalar.js is %x, want %s", sum, want)
		}
		r, err := gzip.NewReader(bytes.NewReader(f.Gzip))
		if err != nil {
			t.Fatal(err)
		}
		if unzipped, err := io.ReadAll(r); err != nil || !bytes.Equal(unzipped, plain) {
			t.Errorf("the compressed file is another: %v", err)
		}
		return
	}
	t.Error("there is no scalar.js")
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
		t.Errorf("the page is %s", page)
	}
	named := 0
	for _, match := range regexp.MustCompile(`(?:src|href)="/docs/([^"]*)"`).FindAllSubmatch(page, -1) {
		f, ok := files[string(match[1])]
		if !ok || !f.Immutable || !strings.Contains(string(match[1]), strings.Trim(f.ETag, `"`)) {
			t.Errorf("the page names %s, which is %+v", match[1], f)
		}
		named++
	}
	if named != 3 {
		t.Errorf("the page names %d files, want 3", named)
	}
}
