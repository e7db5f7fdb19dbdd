package collections

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/clusterlite/clusterlite/events/document"
)

// A shaper creates the shapes of a file.
type shaper struct {
	root   any
	order  map[string]int            // the order of members in the file, by pointer
	values map[string]jsontext.Value // the defaults, by pointer
	nested bool                      // an $id exists below the root, so references can't be followed
	made   map[string]*shape         // the shapes so far, by pointer
	used   map[string]bool           // the defaults that a shape uses, by pointer
	// meant maps the pointer of a property's schema to the pointer of its default.
	meant map[string]string
}

const (
	// defaultRounds and maxDefault bound defaults that contain further defaults.
	defaultRounds = document.MaxDepth
	maxDefault    = 1 << 20
)

// readDefaults returns the shape of a collection's documents, or nil if nothing has a default.
// A default that could never be used is a mistake.
func readDefaults(root map[string]any, source []byte, compile func(pointer string) (*jsonschema.Schema, error)) (*shape, *mistake) {
	s := shaper{root: root, made: map[string]*shape{}, used: map[string]bool{}, meant: map[string]string{}, order: map[string]int{}, values: map[string]jsontext.Value{}}
	there := false
	_ = eachSchema(root, "", func(pointer string, schema map[string]any) *mistake {
		_, id := schema["$id"].(string)
		s.nested = s.nested || id && pointer != ""
		_, has := schema["default"]
		there = there || has
		return nil
	})
	if !there {
		return nil, nil
	}
	if err := s.scan(source); err != nil {
		return nil, mistakeAt("", "%v", err)
	}
	documents := s.shape("")
	for changed := true; changed; {
		changed = false
		for _, one := range s.made {
			if !one.reaches && one.reachesNow() {
				one.reaches, changed = true, true
			}
		}
	}
	m := eachSchema(root, "", func(pointer string, schema map[string]any) *mistake {
		if _, has := schema["default"]; has && !s.used[pointer+"/default"] {
			return mistakeAt(pointer+"/default", "would be ignored: a default must be on a property at the top level, in properties, or in items")
		}
		return nil
	})
	if m == nil {
		m = s.completeDefaults()
	}
	if m == nil {
		m = s.eachDefault(func(property, at string, d *defaultMember, _ []*shape) *mistake {
			return check(compile, property, at, d.value)
		})
	}
	return documents, m
}

// eachDefault visits each member that has a default, with the place of its schema, the
// place of the default, and the shapes of its value.
func (s *shaper) eachDefault(visit func(property, at string, d *defaultMember, shapes []*shape) *mistake) *mistake {
	for _, pointer := range slices.Sorted(maps.Keys(s.made)) {
		one := s.made[pointer]
		for i := range one.defaults {
			d := &one.defaults[i]
			property := pointer + "/properties/" + escape(d.name)
			if m := visit(property, s.meant[property], d, one.properties[d.name].all); m != nil {
				return m
			}
		}
	}
	return nil
}

// completeDefaults completes each default with the defaults of its own missing members, so
// that a document needs only one pass. A default that would contain itself is a mistake.
func (s *shaper) completeDefaults() *mistake {
	for round, changed := 0, true; changed; round++ {
		changed = false
		m := s.eachDefault(func(_, at string, d *defaultMember, shapes []*shape) *mistake {
			f := filler{in: jsontext.NewDecoder(bytes.NewReader(d.value)), max: maxDefault}
			// Valid JSON can still become too large or too deeply nested.
			if err := f.fill(shapes); err != nil || round > defaultRounds {
				return mistakeAt(at, "is endless: the default's own members have defaults that lead back to it")
			}
			if f.filled > 0 {
				d.value, changed = f.out, true
			}
			return nil
		})
		if m != nil {
			return m
		}
	}
	return nil
}

// check validates a default with the schema of its property.
func check(compile func(pointer string) (*jsonschema.Schema, error), property, at string, d jsontext.Value) *mistake {
	schema, err := compile(property)
	if err != nil {
		return mistakeAt(at, "can't be checked: %v", err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(d))
	if err != nil {
		return mistakeAt(at, "not valid JSON: %v", err)
	}
	if violations := violationsOf(schema.Validate(value)); len(violations) > 0 {
		v := violations[0]
		return mistakeAt(at+v.Pointer, "violates the schema of its own property: %s", v.Detail)
	}
	return nil
}

func (s *shape) reachesNow() bool {
	below := func(one *shape) bool { return slices.ContainsFunc(one.all, func(s *shape) bool { return s.reaches }) }
	if len(s.defaults) > 0 || s.items != nil && below(s.items) {
		return true
	}
	for _, p := range s.properties {
		if below(p) {
			return true
		}
	}
	return false
}

// shape returns the shape of the schema at pointer, and creates it if necessary.
func (s *shaper) shape(pointer string) *shape {
	if made := s.made[pointer]; made != nil {
		return made
	}
	made := &shape{}
	s.made[pointer] = made
	schema, _ := at(s.root, pointer).(map[string]any)
	if properties, ok := schema["properties"].(map[string]any); ok {
		made.properties = map[string]*shape{}
		names := slices.SortedFunc(maps.Keys(properties), func(a, b string) int {
			return s.order[pointer+"/properties/"+escape(a)] - s.order[pointer+"/properties/"+escape(b)]
		})
		for _, name := range names {
			property := pointer + "/properties/" + escape(name)
			made.properties[name] = s.shape(property)
			if from := s.defaultOf(property); from != "" {
				s.used[from], s.meant[property] = true, from
				made.defaults = append(made.defaults, defaultMember{name, s.values[from]})
			}
		}
	}
	if _, ok := schema["items"].(map[string]any); ok {
		first, _ := schema["prefixItems"].([]any)
		made.items, made.itemsFrom = s.shape(pointer+"/items"), len(first)
	}
	for _, same := range s.same(pointer, nil) {
		made.all = append(made.all, s.shape(same))
	}
	return made
}

// same returns the pointers of all schemas that apply to the same value as the schema at
// pointer: first that schema, then those reached through $ref and allOf.
func (s *shaper) same(pointer string, found []string) []string {
	if slices.Contains(found, pointer) {
		return found
	}
	found = append(found, pointer)
	schema, _ := at(s.root, pointer).(map[string]any)
	if reference, ok := schema["$ref"].(string); ok && !s.nested {
		if path, local := strings.CutPrefix(reference, "#"); local && (path == "" || path[0] == '/') && !strings.Contains(path, "%") && leads(s.root, reference) {
			found = s.same(path, found)
		}
	}
	all, _ := schema["allOf"].([]any)
	for i := range all {
		found = s.same(fmt.Sprintf("%s/allOf/%d", pointer, i), found)
	}
	return found
}

// defaultOf finds the default of a property: its own, or that of a schema to which it
// refers.
func (s *shaper) defaultOf(property string) string {
	for _, pointer := range s.same(property, nil) {
		schema, _ := at(s.root, pointer).(map[string]any)
		if _, has := schema["default"]; has {
			return pointer + "/default"
		}
	}
	return ""
}

// scan reads the positions of the file's members, and the defaults as they are written.
func (s *shaper) scan(source []byte) error {
	in := jsontext.NewDecoder(bytes.NewReader(source))
	wanted := map[string]bool{}
	_ = eachSchema(s.root, "", func(pointer string, schema map[string]any) *mistake {
		wanted[pointer+"/default"] = true
		return nil
	})
	for in.PeekKind() != 0 {
		if _, err := in.ReadToken(); err != nil {
			return err
		}
		pointer := string(in.StackPointer())
		if kind, length := in.StackIndex(in.StackDepth()); kind != '{' || length%2 == 0 {
			continue // not a member's name
		}
		s.order[pointer] = len(s.order)
		if !wanted[pointer] {
			continue
		}
		value, err := in.ReadValue()
		if err != nil {
			return err
		}
		value = bytes.Clone(value)
		if err := value.Compact(); err != nil {
			return err
		}
		s.values[pointer] = value
	}
	return nil
}
