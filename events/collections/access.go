package collections

import (
	"maps"
	"slices"
	"strings"
)

// accessKeyword declares who may do what. It belongs at the top of a collection's schema.
const accessKeyword = "x-access"

// Access is what a collection's file says about who may read and change its entities: one
// expression for each kind of access. An empty one means that only administrators may. Package
// access of the service compiles and evaluates the expressions.
type Access struct{ Read, Create, Update, Delete string }

// Expressions returns the expressions by the name of their member, without the empty ones.
func (a Access) Expressions() map[string]string {
	all := map[string]string{"read": a.Read, "create": a.Create, "update": a.Update, "delete": a.Delete}
	maps.DeleteFunc(all, func(_, expression string) bool { return expression == "" })
	return all
}

// Access returns the collection's rules, and whether it has any.
func (c *Collection) Access() (rules Access, has bool) {
	if c.access == nil {
		return Access{}, false
	}
	return *c.access, true
}

// readAccess reads the rules in a collection's file. Without rules, both results are nil.
func readAccess(root map[string]any) (*Access, *mistake) {
	value, has := root[accessKeyword]
	if !has {
		return nil, nil
	}
	at := "/" + accessKeyword
	members, ok := value.(map[string]any)
	if !ok {
		return nil, mistakeAt(at, "must be an object with the members read, create, update and delete")
	}
	a := &Access{}
	into := map[string]*string{"read": &a.Read, "create": &a.Create, "update": &a.Update, "delete": &a.Delete}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		expression, known := into[name]
		if !known {
			return nil, mistakeAt(at+"/"+escape(name), "unknown member %q: the members are read, create, update and delete.%s", name, suggest(name, slices.Sorted(maps.Keys(into))))
		}
		if *expression, ok = members[name].(string); !ok || strings.TrimSpace(*expression) == "" {
			return nil, mistakeAt(at+"/"+name, "must be an expression: a string such as \"old.owner == auth.sub\". Leave the member out to let only administrators %s", name)
		}
	}
	return a, nil
}
