package collections

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

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
