// Package metayaml reads and writes metadata documents as YAML:
//
//	tables:
//	  public.users:
//	    description: Who may log in.
//	    owner: accounts
//	    tags: [pii]
//	    links:
//	      wiki: https://wiki.example.org/users
//	    keys:
//	      retention: 90d
//	    columns:
//	      email:
//	        description: Where we write to.
//	        tags: [pii]
//
// The other sections are schemas, views (which have columns, too), functions and types. A function
// is named with its argument types: public.area(integer, integer). Links are a list of addresses,
// or addresses by name. The names and values under keys are custom.
package metayaml

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/whimbrel-db/whimbrel/internal/yamltext"
	"github.com/whimbrel-db/whimbrel/metadata"
)

// limits bound a document to ten times the largest schema that people describe by hand.
var limits = yamltext.Limits{Bytes: MaxSize, Signs: 1 << 19}

// MaxSize is the longest text that Read accepts, in bytes.
const MaxSize = 8 << 20

// groups are the kinds whose plurals are the top-level keys of a document.
var groups = []metadata.Kind{metadata.Schema, metadata.Table, metadata.View, metadata.Function, metadata.Type}

// groupKey returns the top-level key of a kind.
func groupKey(k metadata.Kind) string { return string(k) + "s" }

// Read reads a document. file is its name, for errors. An empty text is an empty document. Read
// returns metadata.Errors for invalid YAML, unknown keys, values of a wrong type, and texts above
// [MaxSize]. It also refuses YAML features beyond plain values: anchors, aliases, tags and multiple
// documents.
func Read(file, text string) (*metadata.Document, error) {
	r := &reader{file: file}
	if p := yamltext.Check(text, limits); p != nil {
		return nil, metadata.Errors{{Position: metadata.Position{File: file, Line: p.Line, Column: p.Column}, Msg: p.Msg}}
	}
	parsed, err := yamltext.Parse(text)
	if err != nil {
		r.syntax(text, err)
		return nil, r.problems
	}
	docs := parsed.Docs
	for len(docs) > 1 && docs[len(docs)-1].Body == nil { // an empty document after the end marker
		docs = docs[:len(docs)-1]
	}
	for len(docs) > 1 && isDirective(docs[0].Body) {
		docs = docs[1:]
	}
	switch {
	case len(docs) > 1:
		r.fail(docs[1].Body, "there is more than one YAML document in the file")
	case len(docs) == 1 && docs[0].Body != nil:
		r.document(docs[0].Body)
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	d, err := metadata.NewDocument(r.entries...)
	if e := (*metadata.Error)(nil); errors.As(err, &e) {
		return nil, metadata.Errors{e}
	}
	return d, err
}

// isDirective reports whether the node is a directive such as %YAML 1.2, which the parser treats as
// a document.
func isDirective(n ast.Node) bool {
	_, is := n.(*ast.DirectiveNode)
	return is
}

type reader struct {
	file     string
	entries  []metadata.Entry
	problems metadata.Errors
}

func (r *reader) fail(n ast.Node, format string, args ...any) {
	var tk *token.Token
	if n != nil {
		tk = n.GetToken()
	}
	r.problems = append(r.problems, &metadata.Error{Position: r.at(tk), Msg: fmt.Sprintf(format, args...)})
}

func (r *reader) at(tk *token.Token) metadata.Position {
	p := metadata.Position{File: r.file, Line: 1, Column: 1}
	if tk != nil && tk.Position != nil {
		p.Line, p.Column = tk.Position.Line, tk.Position.Column
	}
	return p
}

// syntax adds the error for text that isn't YAML.
func (r *reader) syntax(text string, err error) {
	e := &metadata.Error{Position: r.at(nil), Msg: err.Error()}
	var known yaml.Error
	if errors.As(err, &known) {
		e.Position = r.at(known.GetToken())
		e.Msg = yamltext.Plain(text, e.Position.Line, known.GetMessage())
	}
	r.problems = append(r.problems, e)
}

// field is a key of a mapping and its value.
type field struct {
	key   string
	at    ast.Node
	value ast.Node // nil for null
}

// fields returns the entries of a mapping. It reports anything else as not being what want
// describes.
func (r *reader) fields(n ast.Node, want string) []field {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		if r.plain(n) {
			r.fail(n, "expected %s, got %s", want, words(n))
		}
		return nil
	}
	var all []field
	for _, v := range values {
		key, ok := r.key(v.Key)
		if !ok {
			continue
		}
		f := field{key: key, at: v.Key, value: v.Value}
		if _, null := v.Value.(*ast.NullNode); null {
			f.value = nil
		}
		all = append(all, f)
	}
	return all
}

func (r *reader) key(n ast.MapKeyNode) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return r.text(n, n.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return n.GetToken().Value, true // a name that looks like a number
	case *ast.MappingKeyNode:
		if s, ok := n.Value.(*ast.StringNode); ok {
			return r.text(n, s.Value), true
		}
	}
	r.fail(n, "a key must be a name")
	return "", false
}

// plain refuses YAML features other than plain values.
func (r *reader) plain(n ast.Node) bool {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		r.fail(n, "anchors and aliases aren't supported: write the value out")
	case *ast.TagNode, *ast.DirectiveNode:
		r.fail(n, "YAML tags aren't supported: write the value alone")
	default:
		return true
	}
	return false
}

// words describes a node's type.
func words(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	}
	return "a single value"
}

func (r *reader) document(n ast.Node) {
	for _, f := range r.fields(n, `keys such as "tables:"`) {
		i := slices.IndexFunc(groups, func(k metadata.Kind) bool { return groupKey(k) == f.key })
		if i < 0 {
			r.unknown(f, []string{"schemas", "tables", "views", "functions", "types"})
			continue
		}
		kind := groups[i]
		for _, o := range r.fields(f.value, "names with their facts") {
			name, err := metadata.ParseName(kind, o.key)
			if err != nil {
				r.fail(o.at, "%v", err)
				continue
			}
			r.object(name, o)
		}
	}
}

var factKeys = []string{"description", "owner", "tags", "links", "keys"}

// object reads the facts of an object and of its columns.
func (r *reader) object(name metadata.Name, o field) {
	e := metadata.Entry{Name: name, Pos: r.at(o.at.GetToken())}
	for _, f := range r.fields(o.value, "keys such as \"description:\"") {
		switch f.key {
		case "description":
			e.Description = r.string(f)
		case "owner":
			e.Owner = r.string(f)
		case "tags":
			e.Tags = r.strings(f)
		case "links":
			e.Links = r.links(f)
		case "keys":
			e.Keys = r.free(f)
		case "columns":
			if name.Kind.Columns() == "" {
				r.fail(f.at, "a %s has no columns", name.Kind.Type())
				continue
			}
			r.columns(name, f)
		default:
			known := factKeys
			if name.Kind.Columns() != "" {
				known = append(slices.Clone(factKeys), "columns")
			}
			r.unknown(f, known)
		}
	}
	r.entries = append(r.entries, e)
}

func (r *reader) columns(table metadata.Name, f field) {
	for _, c := range r.fields(f.value, "names of columns with what is known of them") {
		if c.key == "" {
			r.fail(c.at, "a column's name is empty")
			continue
		}
		name := table
		name.Kind, name.Column = table.Kind.Columns(), c.key
		r.object(name, c)
	}
}

// unknown reports an unknown key.
func (r *reader) unknown(f field, known []string) {
	hint := "the keys are " + strings.Join(known, ", ")
	if slices.Equal(known[:min(len(known), len(factKeys))], factKeys) {
		hint += `; put custom keys under "keys:"`
	}
	r.fail(f.at, "unknown key %q; %s", f.key, hint)
}

// string reads a string value.
func (r *reader) string(f field) string {
	switch n := f.value.(type) {
	case nil:
		return ""
	case *ast.StringNode:
		return r.text(n, n.Value)
	case *ast.LiteralNode:
		return r.text(n, n.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		r.fail(n, "%s must be a string; write it in quotes: %q", f.key, n.GetToken().Value)
	default:
		if r.plain(n) {
			r.fail(n, "%s must be a string, got %s", f.key, words(n))
		}
	}
	return ""
}

// text refuses strings that a database can't store.
func (r *reader) text(n ast.Node, s string) string {
	if strings.ContainsRune(s, 0) {
		r.fail(n, "the text contains a NUL character, which databases can't store")
	}
	return s
}

func (r *reader) strings(f field) []string {
	if f.value == nil {
		return nil
	}
	list, ok := f.value.(*ast.SequenceNode)
	if !ok {
		if r.plain(f.value) {
			r.fail(f.value, "%s must be a list such as [pii, billing], got %s", f.key, words(f.value))
		}
		return nil
	}
	var all []string
	for _, n := range list.Values {
		s := r.string(field{key: "each of the " + f.key, at: n, value: n})
		switch {
		case s == "":
			if _, null := n.(*ast.NullNode); null || n.Type() == ast.StringType {
				r.fail(n, "one of the %s is empty", f.key)
			}
		case slices.Contains(all, s):
			r.fail(n, "%q appears twice", s)
		default:
			all = append(all, s)
		}
	}
	return all
}

// links reads addresses: a list, or a mapping by name.
func (r *reader) links(f field) (all []metadata.Link) {
	switch f.value.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		for _, l := range r.fields(f.value, "links by name") {
			url := r.string(field{key: "a link", at: l.at, value: l.value})
			switch {
			case l.key == "":
				r.fail(l.at, "a link's name is empty")
			case url == "" && l.value == nil:
				r.fail(l.at, "link %q has no address", l.key)
			default:
				all = append(all, metadata.Link{Name: l.key, URL: url})
			}
		}
		return all
	}
	for _, url := range r.strings(f) {
		all = append(all, metadata.Link{URL: url})
	}
	return all
}

// free reads custom keys.
func (r *reader) free(f field) map[string]any {
	fields := r.fields(f.value, "custom keys with their values")
	if len(fields) == 0 {
		return nil
	}
	all := make(map[string]any, len(fields))
	for _, k := range fields {
		all[r.text(k.at, k.key)] = r.value(k.value)
	}
	return all
}

// value reads a value of any type.
func (r *reader) value(n ast.Node) any {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return nil
	case *ast.BoolNode:
		return n.Value
	case *ast.StringNode:
		return r.text(n, n.Value)
	case *ast.LiteralNode:
		return r.text(n, n.Value.Value)
	case *ast.IntegerNode:
		return json.Number(fmt.Sprint(n.Value))
	case *ast.FloatNode:
		return float(n.Value)
	case *ast.SequenceNode:
		list := make([]any, len(n.Values))
		for i, v := range n.Values {
			list[i] = r.value(v)
		}
		return list
	case *ast.MappingNode, *ast.MappingValueNode:
		return r.free(field{value: n})
	case *ast.InfinityNode, *ast.NanNode:
		r.fail(n, "this number can't be stored: write it in quotes")
	default:
		if r.plain(n) {
			r.fail(n, "expected a value")
		}
	}
	return nil
}

// float formats a number so that it is read back with a fraction.
func float(f float64) json.Number {
	switch size := math.Abs(f); {
	case size < 1e15 && f == math.Trunc(f):
		return json.Number(strconv.FormatFloat(f, 'f', 1, 64))
	case 1e-5 < size && size < 1e15:
		return json.Number(strconv.FormatFloat(f, 'f', -1, 64))
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64))
}
