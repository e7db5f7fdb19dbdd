// Package reference is the page at /docs: Scalar's API reference, which shows the OpenAPI
// description and can send requests. All of its files are in the binary. The page loads nothing
// from other hosts.
package reference

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
)

//go:embed files
var files embed.FS

// A File is a file of the page.
type File struct {
	// Type is the media type, and ETag is the strong entity tag.
	Type, ETag string
	// Immutable reports whether the name of the file changes with its content.
	Immutable bool
	// Gzip is the compressed content, or nil.
	Gzip []byte
	// Plain returns the content. Callers must not change it.
	Plain func() ([]byte, error)
}

// Policy is the content security policy of the page. It allows scripts, requests and images of
// this origin only, and neither inline scripts nor eval. Scalar adds a few style sheets at run
// time, whose hashes the policy lists. It also sets style attributes, whose texts vary. They can
// load nothing from other hosts, so the policy allows them. A new version of Scalar may need
// other hashes: TestBrowserCreatesWithATypedToken in e2e reports them.
const Policy = "default-src 'self'; script-src 'self'; img-src 'self' data:; " +
	"style-src-elem 'self' 'sha256-QpRH++jfSE25E/ku5JwG+oucjRD32SqdyuYxGFVNDSA=' 'sha256-l/2OpPg0d+2VLTLgwjf5mQo2CYwHDEqdj5TjbfEyVJI=' " +
	"'sha256-T13Uev3xCax2N28XaoAE8DOzQZKvPp7ZQVAi1iRREjo=' 'sha256-2UEMd/YPsMy7CNRXElhBjwvL9rdy9m1ti/gu4lHLCUk=' " +
	"'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' 'sha256-5aYZjEQUL/uZ8QitcdPDMQtgHyi61hB60cNYV6L0hHI='; " +
	"style-src-attr 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page is the name of the page among the files.
const Page = ""

// Files returns the files of the page, by the name after /docs/. They are read once.
var Files = sync.OnceValues(read)

func read() (map[string]File, error) {
	page, err := files.ReadFile("files/page.html")
	if err != nil {
		return nil, err
	}
	all := map[string]File{}
	for name, kind := range map[string]string{
		"scalar.js": "text/javascript; charset=utf-8", "start.js": "text/javascript; charset=utf-8",
		"icon.svg": "image/svg+xml", "LICENSE.scalar.txt": "text/plain; charset=utf-8",
	} {
		f, err := open(name, kind)
		if err != nil {
			return nil, fmt.Errorf("the page's %s: %w", name, err)
		}
		// The page names the file by its content, so that browsers may cache it forever.
		served := name
		if mark := []byte("{{" + name + "}}"); bytes.Contains(page, mark) {
			ext := path.Ext(name)
			served = strings.TrimSuffix(name, ext) + "-" + strings.Trim(f.ETag, `"`) + ext
			f.Immutable = true
			page = bytes.ReplaceAll(page, mark, []byte(served))
		}
		all[served] = f
	}
	all[Page] = plainFile("text/html; charset=utf-8", page)
	return all, nil
}

func open(name, kind string) (File, error) {
	if content, err := files.ReadFile("files/" + name); err == nil {
		return plainFile(kind, content), nil
	}
	compressed, err := files.ReadFile("files/" + name + ".gz")
	if err != nil {
		return File{}, err
	}
	f := plainFile(kind, compressed)
	f.Gzip = compressed
	f.Plain = sync.OnceValues(func() ([]byte, error) { return unzip(compressed) })
	return f, nil
}

func plainFile(kind string, content []byte) File {
	sum := sha256.Sum256(content)
	return File{Type: kind, ETag: `"` + hex.EncodeToString(sum[:8]) + `"`, Plain: func() ([]byte, error) { return content, nil }}
}

func unzip(compressed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
