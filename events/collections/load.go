package collections

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	neturl "net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/clusterlite/clusterlite/events/document"
)

//go:embed users.json
var users []byte

// A Set is the collections that a process serves. It is immutable and safe for concurrent
// use.
type Set struct{ byName map[string]*Collection }

// Get finds a collection by its name.
func (s *Set) Get(name string) (*Collection, bool) {
	c, ok := s.byName[name]
	return c, ok
}

// All returns the collections by name.
func (s *Set) All() []*Collection {
	all := make([]*Collection, 0, len(s.byName))
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		all = append(all, s.byName[name])
	}
	return all
}

// FileError is returned for a file that does not declare a valid collection.
type FileError struct {
	// File is the file's path. Pointer is the place in it (RFC 6901), and empty for the whole
	// file.
	File, Pointer string
	// Reason says what is wrong there.
	Reason string
}

// Error returns the file, the place and the reason.
func (e *FileError) Error() string {
	if e.Pointer == "" {
		return fmt.Sprintf("%s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s: at %s: %s", e.File, e.Pointer, e.Reason)
}

// Load returns users and the collections that the *.json files of a folder declare; an
// empty dir means no folder. A users.json in the folder replaces the built-in one. The
// error joins a [FileError] for each invalid file, and for each file whose name resembles
// that of a collection but is not one.
func Load(dir string) (*Set, error) {
	set := &Set{byName: map[string]*Collection{}}
	var errs []error
	if dir != "" {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("read the folder of collections: %w", err)
		}
		for _, entry := range entries {
			is, reason := isCollection(entry)
			if reason != "" {
				errs = append(errs, &FileError{File: filepath.Join(dir, entry.Name()), Reason: reason})
			}
			if !is {
				continue
			}
			c, err := loadFile(dir, entry)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			set.byName[c.name] = c
		}
	}
	if _, replaced := set.byName["users"]; !replaced {
		c, err := parse("users.json", users)
		if err != nil {
			errs = append(errs, err)
		} else {
			set.byName[c.name] = c
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return set, nil
}

func loadFile(dir string, entry fs.DirEntry) (*Collection, error) {
	path := filepath.Join(dir, entry.Name())
	source, err := os.ReadFile(path) //nolint:gosec // the folder is the operator's setting
	if err != nil {
		return nil, &FileError{File: path, Reason: err.Error()}
	}
	return parse(path, source)
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// reserved are names that a collection can't have because they are paths of the API.
var reserved = []string{"docs", "openapi", "clusterlite", "changes", "models"}

// reservedPrefix is the prefix of the names of collections that the store itself keeps in the log,
// such as that of API keys.
const reservedPrefix = "clusterlite_"

// parse returns the collection that a file's content declares.
func parse(path string, source []byte) (*Collection, error) {
	wrong := func(pointer, format string, args ...any) error {
		return &FileError{File: path, Pointer: pointer, Reason: fmt.Sprintf(format, args...)}
	}
	name := strings.TrimSuffix(filepath.Base(path), ".json")
	switch {
	case !validName.MatchString(name):
		return nil, wrong("", "a collection is named after its file; %q does not match [a-z][a-z0-9_]* or is longer than 63 characters", name)
	case slices.Contains(reserved, name), strings.HasPrefix(name, "sqlite_"), strings.HasPrefix(name, reservedPrefix):
		return nil, wrong("", "the name %q is reserved", name)
	}
	if pointer, reason := notJSON(source); reason != "" {
		return nil, wrong(pointer, "not valid JSON: %s", reason)
	}
	var number *document.NumberError
	if errors.As(document.CheckNumbers(source), &number) {
		return nil, wrong(number.Pointer, "the number %s", number.Reason)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(source))
	if err != nil {
		return nil, wrong("", "not valid JSON: %v", err)
	}
	root, ok := value.(map[string]any)
	if !ok {
		return nil, wrong("", "a schema must be a JSON object")
	}
	if root["title"] != name {
		return nil, wrong("/title", "must be the file's name, %q", name)
	}
	if root["type"] != "object" {
		return nil, wrong("/type", `must be "object"`)
	}
	if m := findMistake(root); m != nil {
		return nil, wrong(m.pointer, "%s", m.reason)
	}
	access, m := readAccess(root)
	if m != nil {
		return nil, wrong(m.pointer, "%s", m.reason)
	}
	properties, pointer, reason := readProperties(root)
	if reason != "" {
		return nil, wrong(pointer, "%s", reason)
	}
	compiler, err := newCompiler(name, value)
	if err != nil {
		return nil, compileError(path, value, err)
	}
	if _, err := compiler.Compile(location(name, "")); err != nil {
		return nil, compileError(path, value, err)
	}
	validators, err := newValidators(name, root)
	if err != nil {
		return nil, compileError(path, value, err)
	}
	defaults, m := readDefaults(root, source, func(pointer string) (*jsonschema.Schema, error) {
		return compiler.Compile(location(name, pointer))
	})
	if m != nil {
		return nil, wrong(m.pointer, "%s", m.reason)
	}
	compact := bytes.Buffer{}
	if err := json.Compact(&compact, source); err != nil {
		return nil, wrong("", "not valid JSON: %v", err)
	}
	declared, _ := root["properties"].(map[string]any)
	description, _ := root["description"].(string)
	return &Collection{
		name: name, description: description, source: compact.Bytes(), validators: validators, properties: properties,
		members: slices.Sorted(maps.Keys(declared)), open: root["additionalProperties"] != false, defaults: defaults, access: access,
	}, nil
}

// notJSON finds the position at which a file is not valid JSON. Duplicate members are rejected
// too, because JSON does not define which of them counts.
func notJSON(source []byte) (pointer, reason string) {
	in := jsontext.NewDecoder(bytes.NewReader(source))
	_, err := in.ReadValue()
	if err == nil {
		if _, err = in.ReadToken(); errors.Is(err, io.EOF) {
			return "", ""
		}
		return "", fmt.Sprintf("unexpected content after the schema, at byte %d", in.InputOffset())
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		return string(syntactic.JSONPointer), fmt.Sprintf("%v at byte %d", syntactic.Err, syntactic.ByteOffset)
	}
	return "", fmt.Sprintf("unexpected end: %v", err)
}

// noLoader rejects references to other files: a collection must be declared in a single
// file.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema must not refer to %s: put the definition under $defs", url)
}

// newCompiler returns a compiler for a collection's schema.
func newCompiler(name string, value any) (*jsonschema.Compiler, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	return c, c.AddResource(location(name, ""), value)
}

// location returns the compiler's name of the schema at pointer.
func location(name, pointer string) string {
	url := "clusterlite:///" + name
	if pointer == "" {
		return url
	}
	parts := strings.Split(pointer, "/")
	for i := range parts {
		parts[i] = neturl.PathEscape(parts[i])
	}
	return url + "#" + strings.Join(parts, "/")
}

// compileError finds the place in the file to which a compiler error refers.
func compileError(path string, value any, err error) error {
	var invalid *jsonschema.SchemaValidationError
	var detail *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &detail) {
		leaf := detail
		for len(leaf.Causes) > 0 {
			leaf = leaf.Causes[0]
		}
		return &FileError{File: path, Pointer: pointerTo(leaf.InstanceLocation), Reason: explain(leaf.ErrorKind)}
	}
	if pointer, reference := badReference(value, value, ""); pointer != "" {
		return &FileError{File: path, Pointer: pointer, Reason: fmt.Sprintf("refers to %s, which is not in the file: put the definition under $defs", reference)}
	}
	return &FileError{File: path, Reason: err.Error()}
}

// mistaken are file name endings that suggest a schema but would not be read.
var mistaken = []string{".json", ".yaml", ".yml", ".jsonc", ".json5", ".jsonl", ".ndjson", ".schema", ".jsonschema", ".toml"}

// isCollection reports whether an entry of a folder declares a collection. The reason says
// why an entry that resembles one is rejected. Everything else is ignored: folders, hidden
// files, editor backups, and texts such as README.md.
func isCollection(entry fs.DirEntry) (is bool, reason string) {
	name := entry.Name()
	lower := strings.ToLower(name)
	switch extension := filepath.Ext(lower); {
	case strings.HasPrefix(name, "."):
		return false, ""
	case entry.IsDir() && extension == ".json":
		return false, "is a folder, but a collection must be a file"
	case entry.IsDir():
		return false, ""
	case filepath.Ext(name) == ".json":
		return true, ""
	case extension == ".json":
		return false, fmt.Sprintf("the name of a collection's file must end in .json, in lower case: rename it to %s.json", name[:len(name)-len(".json")])
	case strings.HasSuffix(lower, ".json.txt"):
		return false, "the name of a collection's file must end in .json: remove the .txt"
	case slices.Contains(mistaken, extension):
		return false, fmt.Sprintf("a collection must be a JSON file whose name ends in .json; %s files are not read. Convert it, or move it out of the folder", filepath.Ext(name))
	}
	return false, ""
}
