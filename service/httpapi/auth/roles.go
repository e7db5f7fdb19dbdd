package auth

import (
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// rolesOf returns the roles that the claims of a token hold under a name. The name is that of a
// claim, such as roles or https://example.com/roles, or a path of names that are separated by
// dots, such as realm_access.roles. A claim with exactly the name has precedence.
//
// An array of strings has one role in each. A string is a list of roles separated by spaces, like
// the claim scope. Values of other types are not roles. No token can claim to be anonymous.
func rolesOf(claims map[string]any, name string) []string {
	var roles []string
	switch value := find(claims, name).(type) {
	case string:
		roles = strings.Fields(value)
	case []any:
		for _, v := range value {
			if role, ok := v.(string); ok {
				roles = append(roles, role)
			}
		}
	}
	roles = slices.DeleteFunc(roles, func(role string) bool { return role == "" || role == caller.RoleAnonymous })
	return slices.Clip(roles)
}

// find returns the value at a path, or nil. Names may contain dots themselves, as the client IDs
// in resource_access.app.example.com.roles do, so each way to divide the path is tried, and the
// shortest first name that leads to a value decides.
func find(object map[string]any, path string) any {
	if value, ok := object[path]; ok {
		return value
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if inner, ok := object[path[:i]].(map[string]any); ok {
			if value := find(inner, path[i+1:]); value != nil {
				return value
			}
		}
	}
	return nil
}
