// Package yamltext reads YAML that nobody may trust: it bounds what a text can cost before and
// after it is parsed.
//
// The parser keeps hundreds of bytes for each sign, and for each value the path that leads to it.
// So a text of a few kilobytes that is nested deep enough, or whose aliases stand for one another,
// takes gigabytes.
package yamltext

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Problem is what is wrong with a text before it is parsed.
type Problem struct {
	Line, Column int
	Msg          string
}

// Limits bound a text.
type Limits struct {
	Bytes int // its length
	Signs int // commas, colons, brackets and ends of lines: what makes values
}

// How deep a text can be nested.
const (
	maxOpen   = 100  // brackets that are open at once
	maxChain  = 100  // keys behind one another, as in "a: b: c:"
	maxIndent = 1000 // blanks and dashes at the beginning of a line
)

// Check returns what keeps a text from being parsed: it is too large, not UTF-8, or nested too
// deep. It returns nil for a text that can be parsed at little cost, whether it is YAML or not.
func Check(text string, limits Limits) *Problem {
	if len(text) > limits.Bytes {
		return &Problem{1, 1, fmt.Sprintf("the file has %d bytes; the most that is read is %d", len(text), limits.Bytes)}
	}
	c := checker{line: 1, begins: true}
	for i, r := range text {
		c.column++
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return c.problem("the file is not UTF-8")
			}
		}
		if c.sign(r); c.open > maxOpen || c.indent > maxIndent || c.chain > maxChain {
			return c.problem("this is nested too deep")
		}
		if c.signs > limits.Signs {
			return c.problem(fmt.Sprintf("the file has more values than can be read: over %d commas, colons, brackets and lines up to here", limits.Signs))
		}
	}
	return nil
}

// checker goes over a text.
type checker struct {
	line, column int
	begins       bool // nothing but blanks and dashes so far on this line
	open         int  // brackets
	indent       int
	chain        int // colons since a key could begin anew
	signs        int
}

func (c *checker) problem(msg string) *Problem { return &Problem{c.line, c.column, msg} }

func (c *checker) sign(r rune) {
	switch r {
	case '\n':
		c.line, c.column = c.line+1, 0
		c.begins, c.indent, c.chain = true, 0, 0
		c.signs++
		return
	case '[', '{':
		c.open++
		c.chain = 0
		c.signs++
	case ']', '}':
		c.open = max(c.open-1, 0)
		c.signs++
	case ',':
		c.chain = 0
		c.signs++
	case '"', '\'':
		c.chain = 0
	case ':':
		c.chain++
		c.signs++
	case ' ', '-', '?':
		if c.begins {
			c.indent++
		}
		return
	}
	c.begins = false
}

// Parse parses a text that Check has passed. What the parser panics of is an error.
func Parse(text string) (f *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it can't be understood as YAML: %v", p)
		}
	}()
	return parser.ParseBytes([]byte(strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")), 0)
}

// Plain returns the parser's message about a line of a text in plain words.
func Plain(text string, line int, msg string) string {
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) {
		return msg
	}
	indentation := lines[line-1][:len(lines[line-1])-len(strings.TrimLeft(lines[line-1], " \t"))]
	switch {
	case strings.Contains(indentation, "\t"):
		return "a tab indents this line; indent it with spaces"
	case msg == "non-map value is specified":
		return `this line is not "key: value"; a colon and a space follow the key`
	case strings.HasSuffix(msg, "value is not allowed in this context") && strings.Count(lines[line-1], ": ") > 1:
		return "a value that contains a colon and a space needs quotes"
	case strings.HasSuffix(msg, "value is not allowed in this context"):
		return "the indentation is wrong around this line; keys of one level begin in the same column"
	}
	return msg
}

// Expanded returns how many bytes and values a text would have if each of its aliases were written
// out. It stops counting above limit.
func Expanded(f *ast.File, limit int) int {
	e := expander{limit: limit, anchors: map[string]int{}}
	sum := 0
	for _, d := range f.Docs {
		if d.Body != nil {
			sum = e.add(sum, e.size(d.Body))
		}
	}
	return sum
}

type expander struct {
	limit   int
	anchors map[string]int // the sizes of what they stand for
}

// add is the sum, but no more than just above the limit, so that it can't overflow.
func (e *expander) add(a, b int) int { return min(a+b, e.limit+1) }

func (e *expander) size(n ast.Node) int {
	sum := 1
	switch n := n.(type) {
	case nil:
	case *ast.MappingNode:
		for _, v := range n.Values {
			sum = e.add(sum, e.size(v))
		}
	case *ast.MappingValueNode:
		sum = e.add(e.size(n.Key), e.size(n.Value))
	case *ast.MappingKeyNode:
		sum = e.add(sum, e.size(n.Value))
	case *ast.SequenceNode:
		for _, v := range n.Values {
			sum = e.add(sum, e.size(v))
		}
	case *ast.TagNode:
		sum = e.add(sum, e.size(n.Value))
	case *ast.AnchorNode:
		sum = e.size(n.Value)
		if n.Name != nil {
			e.anchors[n.Name.GetToken().Value] = sum
		}
	case *ast.AliasNode:
		if n.Value != nil {
			sum = e.add(sum, e.anchors[n.Value.GetToken().Value])
		}
	default:
		if tk := n.GetToken(); tk != nil {
			sum = e.add(sum, len(tk.Value))
		}
	}
	return sum
}
