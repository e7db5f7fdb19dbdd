package sqlmodel

import (
	"strings"
)

// checkLiterals finds the calls of the functions for dates in a statement that would always fail, such as
// date('now'). [restrict] only finds them when they run: the first event with a certain document may come
// long after the model has replaced another one. The mistakes are those of [checkClock].
func checkLiterals(text string) error {
	all := tokens(text)
	for i, t := range all {
		name := strings.ToLower(t)
		before, ok := dateFunctions[name]
		if !ok || i+1 == len(all) || all[i+1] != "(" {
			continue
		}
		args, closed := arguments(all[i+2:])
		if !closed {
			continue // SQLite rejects the statement
		}
		if err := checkClock(name, before, args); err != nil {
			return err
		}
	}
	return nil
}

// arguments returns the arguments of a call whose opening bracket came before: a text for each that is
// nothing but a text, and nil for all others. closed is false if the closing bracket is missing.
func arguments(rest []string) (args []any, closed bool) {
	depth, begin := 0, 0
	add := func(end int) {
		switch one := rest[begin:end]; {
		case len(one) == 1 && one[0][0] == '\'':
			args = append(args, strings.ReplaceAll(strings.Trim(one[0], "'"), "''", "'"))
		case len(one) > 0:
			args = append(args, nil)
		}
		begin = end + 1
	}
	for i, t := range rest {
		switch {
		case t == "(":
			depth++
		case t == ")" && depth == 0:
			add(i)
			return args, true
		case t == ")":
			depth--
		case t == "," && depth == 0:
			add(i)
		}
	}
	return nil, false
}

// tokens splits a statement that [scan] has accepted: into words, quoted texts and names with their quotes,
// and single characters.
func tokens(text string) (all []string) {
	for i := 0; i < len(text); {
		n := 1
		switch c := text[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f':
			i++
			continue
		case strings.HasPrefix(text[i:], "--"):
			i = after(text, i, "\n")
			continue
		case strings.HasPrefix(text[i:], "/*"):
			i = after(text, i, "*/")
			continue
		case c == '\'' || c == '"' || c == '`':
			n = quotedLength(text[i:], c)
		case c == '[':
			n = after(text, i, "]") - i
		case isWordByte(c):
			for i+n < len(text) && isWordByte(text[i+n]) {
				n++
			}
		}
		all = append(all, text[i:i+n])
		i += n
	}
	return all
}

// after returns the index after the next occurrence of end, or the length of the text.
func after(text string, from int, end string) int {
	if n := strings.Index(text[from:], end); n >= 0 {
		return from + n + len(end)
	}
	return len(text)
}

// quotedLength returns the length of the quoted text with which a text begins. A quote within it is doubled.
func quotedLength(text string, quote byte) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != quote:
		case i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(text)
}
