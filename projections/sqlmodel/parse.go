package sqlmodel

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterlite/clusterlite/events"
	"github.com/clusterlite/clusterlite/events/nearest"
)

// The directives of a file.
const (
	directiveOn     = "on"
	directiveQuery  = "query"
	directiveAccess = "access"
)

var directives = []string{directiveOn, directiveQuery, directiveAccess}

// eventArguments are the parameters that a statement of an event can use.
var eventArguments = []string{"position", "time", "type", "collection", "id", "version", "document", "previous"}

// directive matches a comment that may be a directive: a word and a colon.
var directive = regexp.MustCompile(`^ ?([A-Za-z]+):[ \t]*(.*)$`)

// parse reads a file without running it. name is the name of the model.
func parse(name, file, text string, declared []string) (*Definition, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	pieces, err := scan(file, text)
	if err != nil {
		return nil, err
	}
	p := parser{Definition: &Definition{Name: name, Text: text, Collections: slices.Sorted(slices.Values(declared)), file: file}}
	for _, next := range pieces {
		if next.comment {
			err = p.comment(next)
		} else {
			err = p.statement(next)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := p.closeSection(); err != nil {
		return nil, err
	}
	if len(p.setup) == 0 {
		return nil, &MistakeError{File: file, What: "the model creates no table"}
	}
	p.Description = strings.TrimSpace(p.Description)
	p.identify()
	return p.Definition, nil
}

type parser struct {
	*Definition
	started bool // a statement or directive was read, so the description is over
	section string
	line    int    // of the directive that began the section
	query   *Query // of the section, until its statement is read
	asked   bool   // the query has its statement
}

func (p *parser) mistake(at piece, format string, args ...any) error {
	m := &MistakeError{File: p.file, Line: at.line, What: fmt.Sprintf(format, args...)}
	if !at.comment {
		m.Statement = at.text
	}
	return m
}

// comment reads a directive. Other comments have no meaning.
func (p *parser) comment(c piece) error {
	parts := directive.FindStringSubmatch(c.text)
	if parts == nil || !slices.Contains(directives, parts[1]) {
		if parts != nil {
			if meant, similar := nearest.Name(parts[1], directives); similar {
				return p.mistake(c, "unknown directive %q. Did you mean %q?", parts[1], meant)
			}
		}
		if !p.started {
			p.Description += strings.TrimSpace(c.text) + "\n"
		}
		return nil
	}
	p.started = true
	switch word, value := parts[1], strings.TrimSpace(parts[2]); word {
	case directiveAccess:
		if p.Access != "" {
			return p.mistake(c, "access is declared more than once")
		}
		if value == "" {
			return p.mistake(c, "access needs an expression that says who may read the model")
		}
		p.Access = value
		return nil
	case directiveOn:
		if err := p.closeSection(); err != nil {
			return err
		}
		on, err := p.triggers(c, value)
		if err != nil {
			return err
		}
		p.rules = append(p.rules, rule{on: on})
		p.section, p.line = word, c.line
	case directiveQuery:
		if err := p.closeSection(); err != nil {
			return err
		}
		q, err := p.signature(c, value)
		if err != nil {
			return err
		}
		p.Queries = append(p.Queries, q)
		p.query, p.asked = &p.Queries[len(p.Queries)-1], false
		p.section, p.line = word, c.line
	}
	return nil
}

// closeSection reports a section without a statement.
func (p *parser) closeSection() error {
	empty := false
	switch p.section {
	case directiveOn:
		empty = len(p.rules[len(p.rules)-1].statements) == 0
	case directiveQuery:
		empty = !p.asked
	}
	if empty {
		return p.mistake(piece{line: p.line, comment: true}, "no statement follows the directive %s", p.section)
	}
	return nil
}

func (p *parser) triggers(c piece, value string) (on []trigger, err error) {
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "*" {
			on = append(on, trigger{})
			continue
		}
		collection, kind, two := strings.Cut(part, ".")
		if !two {
			return nil, p.mistake(c, "%q is not <collection>.<type>, such as orders.created", part)
		}
		if collection != "*" && !events.ValidCollection(collection) {
			return nil, p.mistake(c, "%q is not the name of a collection", collection)
		}
		if collection != "*" && !slices.Contains(p.Collections, collection) {
			return nil, p.mistake(c, "no collection %q is declared%s", collection, p.nearestCollection(collection))
		}
		t := trigger{collection: collection, kind: events.Kind(kind)}
		switch t.kind {
		case events.Created, events.Updated, events.Deleted:
		case "*":
			t.kind = ""
		default:
			return nil, p.mistake(c, "%q is not a type of events: use created, updated, deleted or *", kind)
		}
		if t.collection == "*" {
			t.collection = ""
		}
		on = append(on, t)
	}
	return on, nil
}

// nearestCollection names the declared collection that a file may mean, or all if they are few.
func (p *parser) nearestCollection(name string) string {
	if meant, similar := nearest.Name(name, p.Collections); similar {
		return fmt.Sprintf(". Did you mean %q?", meant)
	}
	if n := len(p.Collections); n == 0 || n > 10 {
		return ""
	}
	return "; declared are " + strings.Join(p.Collections, ", ")
}

// signature matches the name and the parameters of a query.
var signature = regexp.MustCompile(`^([A-Za-z0-9_]+)[ \t]*(?:\((.*)\))?$`)

// declaration matches a parameter: its name, its type, and its default.
var declaration = regexp.MustCompile(`^([A-Za-z0-9_]+)[ \t]+([A-Za-z]+)(?:[ \t]*=[ \t]*(.*))?$`)

func (p *parser) signature(c piece, value string) (q Query, err error) {
	parts := signature.FindStringSubmatch(value)
	if parts == nil || !ValidName.MatchString(parts[1]) {
		return q, p.mistake(c, "%q is not the name of a query, such as top, or top(since time, least integer = 1)", value)
	}
	q.Name = parts[1]
	if slices.ContainsFunc(p.Queries, func(other Query) bool { return other.Name == q.Name }) {
		return q, p.mistake(c, "the query %s is declared more than once", q.Name)
	}
	if strings.TrimSpace(parts[2]) == "" {
		return q, nil
	}
	for part := range strings.SplitSeq(parts[2], ",") {
		d := declaration.FindStringSubmatch(strings.TrimSpace(part))
		if d == nil {
			return q, p.mistake(c, "%q is not a parameter, such as since time, or least integer = 1", strings.TrimSpace(part))
		}
		declared := Parameter{Name: d[1], Kind: Kind(d[2]), Default: unquote(d[3]), Required: !strings.Contains(part, "=")}
		switch {
		case !ValidName.MatchString(declared.Name):
			return q, p.mistake(c, "%q is not the name of a parameter: use lower-case letters, digits and underscores", declared.Name)
		case slices.Contains(ReservedParameters, declared.Name):
			return q, p.mistake(c, "the parameter %s of lists has this name: choose another", declared.Name)
		case slices.ContainsFunc(q.Parameters, func(other Parameter) bool { return other.Name == declared.Name }):
			return q, p.mistake(c, "the parameter %s is declared more than once", declared.Name)
		case !slices.Contains([]Kind{Text, Integer, Number, Boolean, Time}, declared.Kind):
			return q, p.mistake(c, "%q is not a type of parameters: use text, integer, number, boolean or time", d[2])
		}
		if !declared.Required {
			if _, err := declared.Parse(declared.Default); err != nil {
				return q, p.mistake(c, "the default of %s must be %s", declared.Name, err)
			}
		}
		q.Parameters = append(q.Parameters, declared)
	}
	return q, nil
}

// ReservedParameters are the parameters that every list has, and therefore no query can declare.
var ReservedParameters = []string{"sort", "limit", "after", "fields", "count"}

func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return strings.ReplaceAll(s[1:len(s)-1], "''", "'")
	}
	return s
}

// Parse converts the text of a request to a value for SQLite. The error says what the text must be.
func (p Parameter) Parse(text string) (any, error) {
	switch p.Kind {
	case Integer:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("an integer")
		}
		return n, nil
	case Number:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !number.MatchString(text) {
			return nil, fmt.Errorf("a number")
		}
		return n, nil
	case Boolean:
		switch text {
		case "true":
			return int64(1), nil
		case "false":
			return int64(0), nil
		}
		return nil, fmt.Errorf("true or false")
	case Time:
		t, err := parseTime(text)
		if err != nil {
			return nil, err
		}
		return t, nil
	}
	return text, nil
}

// statement adds a statement to its section.
func (p *parser) statement(s piece) error {
	p.started = true
	known := eventArguments
	switch p.section {
	case "":
		if !slices.Contains([]string{"CREATE", "INSERT", "REPLACE"}, s.words[0]) {
			return p.mistake(s, "before the first directive, statements create tables, indexes, views and triggers, or insert what they begin with. To react to events, put the statement after a comment such as -- on: orders.created")
		}
		known = nil
	case directiveOn:
		if !slices.Contains([]string{"INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"}, s.words[0]) {
			return p.mistake(s, "an event runs INSERT, REPLACE, UPDATE and DELETE. CREATE statements come before the first directive")
		}
	case directiveQuery:
		if !slices.Contains([]string{"SELECT", "WITH", "VALUES"}, s.words[0]) {
			return p.mistake(s, "a query is a SELECT")
		}
		if p.asked {
			return p.mistake(s, "the query %s has one statement", p.query.Name)
		}
		known = nil
		for _, declared := range p.query.Parameters {
			known = append(known, declared.Name)
		}
	}
	statement, err := p.bind(s, known)
	if err != nil {
		return err
	}
	switch p.section {
	case "":
		p.setup = append(p.setup, statement)
	case directiveOn:
		last := &p.rules[len(p.rules)-1]
		last.statements = append(last.statements, statement)
	case directiveQuery:
		for _, declared := range known {
			if !slices.Contains(statement.arguments, declared) {
				return p.mistake(s, "the query does not use its parameter %s", declared)
			}
		}
		p.query.Statement, p.asked = statement, true
	}
	return nil
}

// bind numbers the parameters of a statement.
func (p *parser) bind(s piece, known []string) (Statement, error) {
	statement := Statement{File: p.file, Line: s.line, Text: s.text}
	var sql strings.Builder
	last := 0
	for _, used := range s.parameters {
		if !slices.Contains(known, used.name) {
			return statement, p.mistake(s, "%s", unknownParameter(used.name, known))
		}
		i := slices.Index(statement.arguments, used.name)
		if i < 0 {
			i = len(statement.arguments)
			statement.arguments = append(statement.arguments, used.name)
		}
		sql.WriteString(s.text[last:used.begin])
		sql.WriteString("?" + strconv.Itoa(i+1))
		last = used.end
	}
	sql.WriteString(s.text[last:])
	statement.sql = sql.String()
	return statement, nil
}

func unknownParameter(name string, known []string) string {
	if len(known) == 0 {
		return "the parameter :" + name + " is unknown here"
	}
	if meant, similar := nearest.Name(name, known); similar {
		return fmt.Sprintf("unknown parameter :%s. Did you mean :%s?", name, meant)
	}
	return fmt.Sprintf("unknown parameter :%s; known are :%s", name, strings.Join(known, ", :"))
}
