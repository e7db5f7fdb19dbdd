package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/clusterlite/clusterlite/service/httpapi/problem"
)

// A Precondition is a client's condition on the version that it reads or changes. The zero
// Precondition always holds.
type Precondition struct {
	// Set reports whether the client gave a condition.
	Set bool
	// Any is set by If-Match: *, which every version satisfies.
	Any bool
	// Versions are the versions that satisfy the condition.
	Versions []int64
	// Weak are the versions that the client named by weak tags, which never match.
	Weak []int64
}

// IfMatch parses If-Match. Its comparison is strong (RFC 9110, 13.1.1), so a weak tag can't
// match, and neither can a tag that does not name a version. The error is a problem.
func IfMatch(r *http.Request) (Precondition, error) {
	tags, anyTag, err := Tags(r, "If-Match")
	if err != nil {
		return Precondition{}, err
	}
	match := Precondition{Set: anyTag || len(tags) > 0, Any: anyTag}
	for _, t := range tags {
		switch v, ok := t.Version(); {
		case ok && t.Weak:
			match.Weak = append(match.Weak, v)
		case ok:
			match.Versions = append(match.Versions, v)
		}
	}
	return match, nil
}

// Holds reports whether an existing entity of this version satisfies the condition.
func (p Precondition) Holds(version int64) bool {
	return !p.Set || p.Any || slices.Contains(p.Versions, version)
}

// Mismatch returns the problem for a client whose condition does not hold for a version.
func (p Precondition) Mismatch(version int64) *problem.Problem {
	detail := fmt.Sprintf("The entity has version %d, which does not match If-Match. Nothing was changed. Read the current version before you retry.", version)
	if !p.Set {
		detail = fmt.Sprintf("The entity changed after the date in If-Unmodified-Since. Its version is now %d.", version)
	} else if slices.Contains(p.Weak, version) {
		detail = fmt.Sprintf(`If-Match has the current version %[1]d, but as the weak tag W/"%[1]d". If-Match uses strong comparison, so a weak tag never matches. Nothing was changed. `+
			`This API sends strong tags, but a proxy that compresses or rewrites responses makes them weak. Send If-Match: "%[1]d", without W/, or configure the proxy to pass responses through unchanged.`, version)
	} else if len(p.Weak) > 0 && len(p.Versions) == 0 {
		var tags []string
		for _, v := range p.Weak {
			tags = append(tags, "W/"+ETag(v))
		}
		detail = fmt.Sprintf(`The entity has version %d. If-Match has only weak tags (%s), which never match. Nothing was changed. Send the tag without W/.`, version, clip(strings.Join(tags, ", ")))
	}
	return problem.VersionMismatch.New(detail).Set("ETag", ETag(version))
}
