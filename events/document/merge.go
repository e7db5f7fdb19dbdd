package document

import (
	"bytes"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
)

// Merge applies a merge patch (RFC 7396) to a document. Members keep the order of the document,
// and new ones follow in the order of the patch. The members of the server in the patch are
// ignored. For a patch that is not an object the error is [ErrNotObject], because the result
// would not be an object. Other errors are those of [Parse]. They also occur for an old document
// that has a number beyond today's limits, and still has it after the patch.
func Merge(target Document, patch []byte) (Document, error) {
	p, err := Parse(patch)
	if err != nil {
		return Document{}, err
	}
	merged, err := MergePatch(target.bytes, p.bytes)
	if err != nil {
		return Document{}, err
	}
	return Parse(merged)
}

// MergePatch applies RFC 7396 to any JSON values. The error is [ErrSyntax] if one of them is not
// JSON.
func MergePatch(target, patch []byte) ([]byte, error) {
	p, err := parseNode(patch)
	if err != nil {
		return nil, err
	}
	t, err := parseNode(target)
	if err != nil {
		return nil, err
	}
	return merge(t, p).append(nil), nil
}

// A node is a JSON value. Objects are split into their members, in order.
type node struct {
	object  bool
	members []member
	raw     []byte // the text of a value that is not an object
}

type member struct {
	name  string // without quotes and escapes
	value node
}

func parseNode(b []byte) (node, error) {
	in := jsontext.NewDecoder(bytes.NewReader(b))
	n, err := readNode(in)
	if err != nil {
		return node{}, syntaxError(in, err)
	}
	return n, nil
}

func readNode(in *jsontext.Decoder) (node, error) {
	if in.PeekKind() != '{' {
		value, err := in.ReadValue()
		return node{raw: bytes.Clone(value)}, err
	}
	if _, err := in.ReadToken(); err != nil {
		return node{}, err
	}
	n := node{object: true}
	for in.PeekKind() == '"' {
		name, err := in.ReadToken()
		if err != nil {
			return node{}, err
		}
		m := member{name: name.String()}
		if m.value, err = readNode(in); err != nil {
			return node{}, fmt.Errorf("%w", err)
		}
		n.members = append(n.members, m)
	}
	_, err := in.ReadToken()
	return n, err
}

func (n node) null() bool { return !n.object && string(n.raw) == "null" }

// merge is the function MergePatch of RFC 7396, section 2.
func merge(target, patch node) node {
	if !patch.object {
		return patch
	}
	result := node{object: true}
	if target.object {
		result.members = append(result.members, target.members...)
	}
	for _, change := range patch.members {
		result.set(change)
	}
	return result
}

func (n *node) set(change member) {
	for i, m := range n.members {
		if m.name != change.name {
			continue
		}
		if change.value.null() {
			n.members = append(n.members[:i:i], n.members[i+1:]...)
			return
		}
		n.members[i].value = merge(m.value, change.value)
		return
	}
	if !change.value.null() {
		n.members = append(n.members, member{change.name, merge(node{}, change.value)})
	}
}

func (n node) append(b []byte) []byte {
	if !n.object {
		return append(b, n.raw...)
	}
	b = append(b, '{')
	for i, m := range n.members {
		if i > 0 {
			b = append(b, ',')
		}
		b, _ = jsontext.AppendQuote(b, m.name) // a name that was read can be quoted
		b = append(b, ':')
		b = m.value.append(b)
	}
	return append(b, '}')
}
