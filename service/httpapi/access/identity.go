package access

import (
	"encoding/json"
	"errors"
	"math"

	"cel.dev/cel-go/common/types"

	"github.com/clusterlite/clusterlite/service/httpapi/caller"
)

// Errors of evaluations. Each gives no access.
var (
	errMissing = errors.New("the member is missing or null")
	errKind    = errors.New("the member is not of its declared type")
)

// An identity is what auth refers to.
type identity struct{ caller.Caller }

var anonymousRoles = []string{caller.RoleAnonymous}

// authMembers are the members of auth.
var authMembers = map[string]*types.FieldType{
	"sub": {
		Type:  types.StringType,
		IsSet: func(target any) bool { return !target.(*identity).IsAnonymous() },
		GetFrom: func(target any) (any, error) {
			if who := target.(*identity); !who.IsAnonymous() {
				return who.Name, nil
			}
			return nil, errMissing
		},
	},
	"roles": {
		Type:  types.NewListType(types.StringType),
		IsSet: func(any) bool { return true },
		GetFrom: func(target any) (any, error) {
			if who := target.(*identity); !who.IsAnonymous() {
				return who.effectiveRoles(), nil
			}
			return anonymousRoles, nil
		},
	},
	"claims": {
		Type:  types.NewMapType(types.StringType, types.DynType),
		IsSet: func(target any) bool { return target.(*identity).Claims != nil },
		GetFrom: func(target any) (any, error) {
			claims, _ := plain(target.(*identity).Claims)
			return claims, nil
		},
	},
}

// effectiveRoles returns the roles that [caller.Caller.Has] reports.
func (i *identity) effectiveRoles() []string {
	roles := make([]string, 0, len(i.Roles))
	for _, role := range i.Roles {
		if role != caller.RoleAnonymous {
			roles = append(roles, role)
		}
	}
	return roles
}

// maxExact is the first integer that a float does not distinguish from its neighbours.
const maxExact = 1 << 53

// plain converts decoded JSON for CEL. Members that are null are left out, and so are numbers too
// large for an exact comparison. Items of arrays keep their place, so null stays there.
func plain(value any) (converted any, ok bool) {
	switch v := value.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for name, one := range v {
			if c, ok := plain(one); ok && c != nil {
				m[name] = c
			}
		}
		return m, true
	case []any:
		items := make([]any, len(v))
		for i, one := range v {
			if c, ok := plain(one); ok {
				items[i] = c
			}
		}
		return items, true
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n, true
		}
		f, err := v.Float64()
		if err != nil {
			return nil, false
		}
		return plain(f)
	case float64:
		switch {
		case math.Abs(v) >= maxExact:
			return nil, false
		case v == math.Trunc(v):
			return int64(v), true
		}
		return v, true
	}
	return value, true
}
