package sqlmodel

import (
	"strings"
)

// A piece is a part of a file: a statement, or a comment that may be a directive.
type piece struct {
	// line is the number of the line on which it begins.
	line int
	// text is the statement without comments before and after it and without its semicolon, or the text of the comment after
	// its dashes.
	text    string
	comment bool
	// words are the first words of a statement, in upper case.
	words []string
	// parameters are the named parameters of a statement, in the order of their first use.
	parameters []parameter
}

// A parameter is a named parameter at its place in the text of a statement.
type parameter struct {
	name       string
	begin, end int
}

// scan splits a file into its statements and line comments. It knows as much of SQL as that takes:
// quotes, comments, and the bodies of triggers.
func scan(file, text string) ([]piece, error) {
	s := scanner{file: file, text: text, line: 1}
	for s.at < len(s.text) {
		if err := s.token(); err != nil {
			return nil, err
		}
	}
	return s.pieces, s.end()
}

type scanner struct {
	file, text string
	at, line   int
	pieces     []piece

	// The statement that is being read. begin is negative between statements.
	inside    bool
	begin     int
	last      int // the end of the last token
	current   piece
	isTrigger bool
	// tail are the last two tokens of a trigger, by which its end is found: "; END ;".
	tail [2]string
}

// token reads the next token, or white space.
func (s *scanner) token() error {
	c := s.text[s.at]
	rest := s.text[s.at:]
	switch {
	case c == '\n':
		s.line++
		s.at++
	case c == ' ' || c == '\t' || c == '\r' || c == '\f':
		s.at++
	case strings.HasPrefix(rest, "--"):
		s.lineComment(rest)
	case strings.HasPrefix(rest, "/*"):
		return s.blockComment(rest)
	case c == '\'' || c == '"' || c == '`' || c == '[':
		return s.quoted(c)
	case c == ';':
		s.semicolon()
	case c == ':' || c == '@' || c == '$' || c == '?':
		return s.parameter(c)
	case isWordByte(c):
		n := 1
		for n < len(rest) && (isWordByte(rest[n])) {
			n++
		}
		s.take(n, strings.ToUpper(rest[:n]))
	default:
		s.take(1, string(c))
	}
	return nil
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// take adds a token of n bytes to the statement. word is the token in upper case if it can be a
// keyword.
func (s *scanner) take(n int, word string) {
	if !s.inside {
		s.inside, s.begin = true, s.at
		s.current = piece{line: s.line}
		s.isTrigger, s.tail = false, [2]string{}
	}
	if len(s.current.words) < 4 {
		s.current.words = append(s.current.words, word)
		if w := s.current.words; w[0] == "CREATE" && word == "TRIGGER" {
			s.isTrigger = true
		}
	}
	s.tail = [2]string{s.tail[1], word}
	s.line += strings.Count(s.text[s.at:s.at+n], "\n")
	s.at += n
	s.last = s.at
}

func (s *scanner) lineComment(rest string) {
	n := strings.IndexByte(rest, '\n')
	if n < 0 {
		n = len(rest)
	}
	if !s.inside {
		s.pieces = append(s.pieces, piece{line: s.line, text: strings.TrimRight(rest[2:n], " \t\r"), comment: true})
	}
	s.at += n
}

func (s *scanner) blockComment(rest string) error {
	n := strings.Index(rest, "*/")
	if n < 0 {
		return s.mistake(s.line, "", "the comment that begins with /* has no */")
	}
	s.line += strings.Count(rest[:n], "\n")
	s.at += n + 2
	return nil
}

// quoted reads a text or a quoted name. A quote within it is doubled.
func (s *scanner) quoted(quote byte) error {
	end := quote
	if quote == '[' {
		end = ']'
	}
	for i := s.at + 1; i < len(s.text); i++ {
		switch {
		case s.text[i] != end:
		case quote != '[' && i+1 < len(s.text) && s.text[i+1] == end:
			i++
		default:
			s.take(i+1-s.at, "")
			return nil
		}
	}
	return s.mistake(s.line, "", "the text that begins with "+string(quote)+" has no closing "+string(end))
}

func (s *scanner) semicolon() {
	if !s.inside {
		s.at++ // an empty statement
		return
	}
	if s.isTrigger && s.tail != [2]string{";", "END"} {
		s.take(1, ";")
		return
	}
	s.finish()
	s.at++
}

func (s *scanner) parameter(c byte) error {
	rest := s.text[s.at+1:]
	n := 0
	for n < len(rest) && isWordByte(rest[n]) {
		n++
	}
	if c != ':' || n == 0 {
		return s.mistake(s.line, "", "parameters are written as :name, not as "+string(c)+rest[:n])
	}
	name := rest[:n]
	begin := s.at
	s.take(n+1, "")
	s.current.parameters = append(s.current.parameters, parameter{name, begin - s.begin, begin - s.begin + n + 1})
	return nil
}

func (s *scanner) finish() {
	s.current.text = s.text[s.begin:s.last]
	s.pieces = append(s.pieces, s.current)
	s.inside = false
}

// end reports a statement that is not complete.
func (s *scanner) end() error {
	if s.inside {
		return s.mistake(s.current.line, s.text[s.begin:s.last], "the statement does not end with a semicolon")
	}
	return nil
}

func (s *scanner) mistake(line int, statement, what string) error {
	return &MistakeError{File: s.file, Line: line, Statement: statement, What: what}
}
