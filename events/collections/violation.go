package collections

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// A Violation is one violation of a schema by a document.
type Violation struct {
	// Pointer is the place in the document (RFC 6901).
	Pointer string
	// Detail says what is wrong there, for people.
	Detail string
}

// maxViolations is the maximum number of violations that are reported for a document.
const maxViolations = 100

// Validate validates a document, in the form returned by document.Document.Value, with the
// schema. It returns nil if the document is valid. Violations are sorted by place. If there
// are very many, only the first are returned, and the last one says how many are missing.
// The numbers in the document must be within the bounds of [document.Parse]. The work is
// proportional to the document's size: a document that takes much more, because the schema
// refers to itself from several branches, gets a violation that says so.
func (c *Collection) Validate(value map[string]any) []Violation {
	return violationsOf(c.validators.validate(value))
}

// violationsOf converts the errors of the schema library.
func violationsOf(err error) []Violation {
	if err == nil {
		return nil
	}
	if errors.Is(err, errTooManySteps) {
		return []Violation{{Detail: "takes far more steps to validate than its size allows: the schema tries several ways at each level of the document"}}
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []Violation{{Detail: "can't be validated: " + err.Error()}}
	}
	violations := leaves(invalid, nil)
	slices.SortFunc(violations, func(a, b Violation) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Detail, b.Detail))
	})
	violations = slices.Compact(violations)
	if more := len(violations) - maxViolations; more > 0 {
		violations = append(violations[:maxViolations:maxViolations], Violation{Detail: fmt.Sprintf("has %s, which are not listed", count(more, "more violation"))})
	}
	return violations
}

// leaves collects the innermost errors, because outer ones only repeat them.
func leaves(e *jsonschema.ValidationError, found []Violation) []Violation {
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			found = leaves(cause, found)
		}
		return found
	}
	at := pointerTo(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			found = append(found, Violation{at + "/" + escape(name), "is required"})
		}
		return found
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			found = append(found, Violation{at + "/" + escape(name), "is not a declared member"})
		}
		return found
	}
	return append(found, Violation{at, explain(e.ErrorKind)})
}

var english = message.NewPrinter(language.English)

// explain describes a violation in a text that can follow the name of the member.
func explain(e jsonschema.ErrorKind) string {
	switch k := e.(type) {
	case *kind.Type:
		want := slices.Clone(k.Want)
		slices.SortFunc(want, func(a, b string) int { // null comes last, as in ordinary English
			return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
		})
		return "must be " + article(strings.Join(want, " or "))
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %s", count(k.Want, "character"))
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %s", count(k.Want, "character"))
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %s", count(k.Want, "item"))
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %s", count(k.Want, "item"))
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be greater than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	case *kind.Format:
		var rule ruleError
		if errors.As(k.Err, &rule) {
			return string(rule)
		}
		return "is not a valid " + k.Want
	case *kind.Pattern:
		return "must match " + k.Want
	case *kind.Const:
		return "must be " + list([]any{k.Want})
	case *kind.Enum: // only for a schema that violates the metaschema: see rule
		return "must be one of " + list(k.Want)
	case *kind.UniqueItems: // as for Enum
		return fmt.Sprintf("has the same item at %d and %d", k.Duplicates[0], k.Duplicates[1])
	case *kind.FalseSchema:
		return "is not allowed"
	default:
		return e.LocalizedString(english)
	}
}

func rank(kind string) int {
	if kind == "null" {
		return 1
	}
	return 0
}

func article(kind string) string {
	if strings.ContainsRune("aeio", rune(kind[0])) {
		return "an " + kind
	}
	return "a " + kind
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func number(r *big.Rat) string {
	const maximum = 30 // characters; a longer number is hard to read
	if digits, exact := r.FloatPrec(); exact && digits <= maximum {
		if text := r.FloatString(digits); len(text) <= maximum {
			return text
		}
	}
	return new(big.Float).SetRat(r).Text('g', 17)
}

// listed is the maximum number of enum values in a message, and the maximum length of each.
const (
	listed       = 20
	listedLength = 100
)

func list(values []any) string {
	texts := make([]string, min(len(values), listed))
	for i := range texts {
		texts[i] = fmt.Sprintf("%v", values[i])
		if len(texts[i]) > listedLength {
			texts[i] = strings.ToValidUTF8(texts[i][:listedLength], "") + "…"
		}
	}
	text := strings.Join(texts, ", ")
	if more := len(values) - listed; more > 0 {
		text += fmt.Sprintf(" or %d others", more)
	}
	return text
}
