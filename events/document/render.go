package document

import "strconv"

// Render returns an entity as clients see it: the members of the server, followed by those of the
// document. id and times must be plain ASCII without quotes, and value a JSON object.
func Render(id string, version int64, createdAt, updatedAt string, value []byte) []byte {
	const fixed = len(`{"id":"","version":,"created_at":"","updated_at":"",`) + 20
	b := make([]byte, 0, fixed+len(id)+len(createdAt)+len(updatedAt)+len(value))
	return AppendRendered(b, id, version, createdAt, updatedAt, value)
}

// AppendRendered appends the result of [Render] to b.
func AppendRendered[Text ~string | ~[]byte](b []byte, id Text, version int64, createdAt, updatedAt Text, value []byte) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, id...)
	b = append(b, `","version":`...)
	b = strconv.AppendInt(b, version, 10)
	b = append(b, `,"created_at":"`...)
	b = append(b, createdAt...)
	b = append(b, `","updated_at":"`...)
	b = append(b, updatedAt...)
	b = append(b, '"')
	members := trimObject(value)
	if len(members) > 0 {
		b = append(b, ',')
		b = append(b, members...)
	}
	return append(b, '}')
}

// trimObject returns the content of an object between its braces. Documents of foreign producers
// may have white space around them.
func trimObject(value []byte) []byte {
	space := func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
	for len(value) > 0 && space(value[0]) {
		value = value[1:]
	}
	for len(value) > 0 && space(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	if len(value) < 2 {
		return nil
	}
	value = value[1 : len(value)-1]
	for len(value) > 0 && space(value[0]) {
		value = value[1:]
	}
	for len(value) > 0 && space(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	return value
}
