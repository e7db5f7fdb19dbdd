package settings

import (
	"os"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// lineToComplete returns the command line up to the cursor, if a shell runs the program to complete
// it. The shell sets COMP_LINE and COMP_POINT, as bash does for complete -C.
func lineToComplete() (line string, asked bool) {
	line = os.Getenv("COMP_LINE")
	if point, err := strconv.Atoi(os.Getenv("COMP_POINT")); err == nil && 0 <= point && point < len(line) {
		line = line[:point]
	}
	return line, line != ""
}

// completions returns the words that can stand at the end of a command line: subcommands, flags, or
// the allowed values of a flag or an argument.
func completions(root *kong.Node, line string) []string {
	words := strings.Split(strings.Join(strings.Fields(line), " "), " ")
	start := words[len(words)-1]
	if strings.HasSuffix(line, " ") {
		words, start = append(words, ""), ""
	}
	node, arguments := root, 0
	var flag *kong.Flag // whose value comes next
	for _, word := range words[1 : len(words)-1] {
		name, _, hasValue := strings.Cut(word, "=")
		switch {
		case flag != nil:
			flag = nil
		case strings.HasPrefix(word, "-") && hasValue:
		case strings.HasPrefix(word, "-"):
			flag = flagWithValue(node, name)
		case childOf(node, word) != nil:
			node, arguments = childOf(node, word), 0
		default:
			arguments++
		}
	}
	if name, value, ok := strings.Cut(start, "="); ok && flag == nil && strings.HasPrefix(start, "-") {
		flag, start = flagWithValue(node, name), value
	}

	var candidates []string
	switch {
	case flag != nil:
		candidates = allowedWords(flag.Value)
	case strings.HasPrefix(start, "-"):
		candidates = flagsOf(node)
	default:
		for _, child := range node.Children {
			if !child.Hidden {
				candidates = append(candidates, child.Name)
			}
		}
		if arguments < len(node.Positional) {
			candidates = append(candidates, allowedWords(node.Positional[arguments])...)
		}
	}
	var matching []string
	for _, candidate := range candidates {
		if strings.HasPrefix(candidate, start) {
			matching = append(matching, candidate)
		}
	}
	return matching
}

func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}

// flagsOf lists the flags that a command line accepts after node.
func flagsOf(node *kong.Node) []string {
	var names []string
	eachFlagAt(node, func(f *kong.Flag) {
		names = append(names, "--"+f.Name)
		if f.Short != 0 {
			names = append(names, "-"+string(f.Short))
		}
	})
	return names
}

// flagWithValue returns the flag with this name, which includes its dashes. It returns nil if the flag
// does not exist or takes no value.
func flagWithValue(node *kong.Node, name string) *kong.Flag {
	var found *kong.Flag
	eachFlagAt(node, func(f *kong.Flag) {
		if !f.IsBool() && (name == "--"+f.Name || f.Short != 0 && name == "-"+string(f.Short)) {
			found = f
		}
	})
	return found
}

// eachFlagAt visits the visible flags of node, of its default command, and of the nodes above it.
func eachFlagAt(node *kong.Node, do func(*kong.Flag)) {
	if node.DefaultCmd != nil {
		node = node.DefaultCmd
	}
	for _, group := range node.AllFlags(true) {
		for _, f := range group {
			do(f)
		}
	}
}

func allowedWords(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}
