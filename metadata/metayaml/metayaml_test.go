package metayaml_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"pgregory.net/rapid"
)

const full = `schemas:
  app:
    description: What the shop works with.
tables:
  public.users:
    description: |-
      Who may log in.

      One row for each person.
    owner: accounts
    tags:
      - pii
      - "true"
    links:
      - https://wiki.example.org/users
      - "#accounts"
    keys:
      big: 12345678901234567890
      empty: {}
      list:
        - 1
        - null
        - {"a": "b", "c": [1, "x"]}
      nested:
        deep:
          deeper: "yes"
      none: null
      ratio: 1.0
      retention: "90d"
      sure: true
    columns:
      email:
        tags:
          - pii
      id:
        description: "null"
  public.visits:
    columns:
      at:
        owner: web
views:
  public."a.b":
    links:
      dashboard: https://grafana.example.org/d/1?x=y
    columns:
      "1":
        description: "Named: after a number"
functions:
  public.area(integer, double precision):
    description: Width by height.
types:
  public.mood:
    description: How somebody feels.
`

func TestWriteIsTheInverseOfRead(t *testing.T) {
	d, err := metayaml.Read("full.yaml", full)
	if err != nil {
		t.Fatal(err)
	}
	if got := metayaml.Write(d); got != full {
		t.Errorf("wrote:\n%s", got)
	}
	if d.Len() != 9 {
		t.Errorf("%d entries", d.Len())
	}
	users := d.Entries()[1]
	want := metadata.Entry{
		Name: metadata.Name{Kind: metadata.Table, Schema: "public", Object: "users"},
		Pos:  metadata.Position{File: "full.yaml", Line: 5, Column: 3},
		Facts: metadata.Facts{
			Description: "Who may log in.\n\nOne row for each person.", Owner: "accounts", Tags: []string{"pii", "true"},
			Links: []metadata.Link{{URL: "https://wiki.example.org/users"}, {URL: "#accounts"}},
			Keys: map[string]any{
				"big": json.Number("12345678901234567890"), "empty": map[string]any(nil), "none": nil, "ratio": json.Number("1.0"), "retention": "90d", "sure": true,
				"list":   []any{json.Number("1"), nil, map[string]any{"a": "b", "c": []any{json.Number("1"), "x"}}},
				"nested": map[string]any{"deep": map[string]any{"deeper": "yes"}},
			},
		},
	}
	if !reflect.DeepEqual(users, want) {
		t.Errorf("read %#v", users)
	}
}

func TestReadErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"tables:\n  users:\n    descripton: x\n", `m.yaml:3:5: unknown key "descripton"; the keys are description, owner, tags, links, keys, columns; put custom keys under "keys:"`},
		{"table:\n  users: {}\n", `m.yaml:1:1: unknown key "table"; the keys are schemas, tables, views, functions, types`},
		{"types:\n  mood:\n    columns: {}\n", "m.yaml:3:5: a type has no columns"},
		{"tables:\n  users:\n    columns:\n      id:\n        columns: {}\n", `m.yaml:5:9: a column has no columns`},
		{"tables:\n  users:\n    tags: pii\n", "m.yaml:3:11: tags must be a list such as [pii, billing], got a single value"},
		{"tables:\n  users:\n    tags: [pii, x, pii]\n", `m.yaml:3:20: "pii" appears twice`},
		{"tables:\n  users:\n    tags: [~]\n", `m.yaml:3:12: one of the tags is empty`},
		{"tables:\n  users:\n    owner: 12\n", `m.yaml:3:12: owner must be a string; write it in quotes: "12"`},
		{"tables:\n  users:\n    owner: [a]\n", `m.yaml:3:12: owner must be a string, got a list`},
		{"tables:\n  users: hello\n", `m.yaml:2:10: expected keys such as "description:", got a single value`},
		{"tables: [users]\n", `m.yaml:1:9: expected names with their facts, got a list`},
		{"- a\n", `m.yaml:1:1: expected keys such as "tables:", got a list`},
		{"hello\n", `m.yaml:1:1: expected keys such as "tables:", got a single value`},
		{"tables:\n  users:\n    owner: a\n    owner: b\n", `m.yaml:4:5: mapping key "owner" already defined`},
		{"tables:\n  users: &u {owner: a}\n  b: *u\n", "m.yaml:2:10: anchors and aliases aren't supported"},
		{"tables:\n  users: {owner: !!str a}\n", "m.yaml:2:18: YAML tags aren't supported"},
		{"tables:\n  users: {owner: \"a\n", "m.yaml:2:18: could not find end character"},
		{"tables: {}\n---\ntables: {}\n", "m.yaml:3:7: there is more than one YAML document"},
		{"tables:\n  a.b.c:\n    owner: x\n", `m.yaml:2:3: "a.b.c" is not the name of a table: write it as public.users, or 'public."my.users"' if it contains a dot`},
		{"schemas:\n  \"a.b\":\n    owner: x\n", `m.yaml:2:3: "a.b" is not the name of a schema: write it as app, or '"my.app"' if it contains a dot`},
		{"tables:\n  a.:\n    owner: x\n", `m.yaml:2:3: "a." is not a name: one of its parts is empty`},
		{"functions:\n  area:\n    owner: x\n", `m.yaml:2:3: "area" is not the name of a function: write it as public.area(integer, integer)`},
		{"tables:\n  users:\n    keys: {a: .inf}\n", "m.yaml:3:15: this number can't be stored"},
		{"tables:\n  users:\n    keys: [a]\n", "m.yaml:3:11: expected custom keys with their values, got a list"},
		{"tables:\n  users:\n    owner: \"a\\0b\"\n", "m.yaml:3:12: the text contains a NUL"},
		{"tables:\n  users:\n    links: {a: }\n", `m.yaml:3:13: link "a" has no address`},
		{"\ttables:\n", "m.yaml:1:"},
		{"tables:\n  users:\n    owner: \xff\n", "m.yaml:3:12: the file is not UTF-8"},
		{"tables:\n  \"a\\0\": {}\n", "m.yaml:2:3: the text contains a NUL"},
		{"tables:\n  users:\n    keys: {a: " + strings.Repeat("[", 1e6) + "\n", "m.yaml:3:114: this is nested too deep"},
		{strings.Repeat("- ", 1e6), "m.yaml:1:1001: this is nested too deep"},
	} {
		d, err := metayaml.Read("m.yaml", tt.text)
		var all metadata.Errors
		switch {
		case err == nil:
			t.Errorf("%q was read: %v", tt.text, d.Entries())
		case !errors.As(err, &all) || !strings.HasPrefix(all[0].Error(), strings.SplitN(tt.want, " ", 2)[0]) || !strings.Contains(err.Error(), tt.want):
			t.Errorf("%q:\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func TestReadReportsAllProblems(t *testing.T) {
	_, err := metayaml.Read("m.yaml", "tables:\n  a:\n    ownr: x\n  b:\n    tags: x\nviws: {}\n")
	var all metadata.Errors
	if !errors.As(err, &all) {
		t.Fatalf("got %v, want a %T", err, all)
	}
	if len(all) != 3 {
		t.Fatalf("len(all) = %v, want 3", len(all))
	}
	if all[2].Line != 6 {
		t.Errorf("all[2].Line = %v, want 6", all[2].Line)
	}
}

func TestReadLinesOfAnotherSystem(t *testing.T) {
	d, err := metayaml.Read("m.yaml", strings.ReplaceAll(full, "\n", "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := metayaml.Write(d), full; got != want {
		t.Errorf("metayaml.Write(d) = %v, want %v", got, want)
	}
}

// BenchmarkRead reads a document of ten thousand columns.
func BenchmarkRead(b *testing.B) {
	text := large(10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		d, err := metayaml.Read("m.yaml", text)
		if err != nil {
			b.Fatal(err)
		}
		if d.Len() != 10_100 {
			b.Fatalf("d.Len() = %v, want 10_100", d.Len())
		}
	}
}

// large returns a document with the given number of columns.
func large(columns int) string {
	var s strings.Builder
	s.WriteString("tables:\n")
	for i := range columns {
		if i%100 == 0 {
			fmt.Fprintf(&s, "  public.t%d:\n    description: Table %d.\n    columns:\n", i, i)
		}
		fmt.Fprintf(&s, "      c%d:\n        description: What column %d is for.\n        owner: team-%d\n        tags: [pii]\n", i, i, i%7)
	}
	return s.String()
}

func TestReadBehindADirective(t *testing.T) {
	d, err := metayaml.Read("m.yaml", "%YAML 1.2\n---\ntables: {a: {owner: x}}\n")
	if err != nil {
		t.Fatal(err)
	}
	if d.Len() != 1 {
		t.Errorf("d.Len() = %v, want 1", d.Len())
	}
	_, err = metayaml.Read("m.yaml", "%YAML 1.2\n---\ntables: {a: {ownr: x}}\n")
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.HasPrefix(err.Error(), `m.yaml:3:14: unknown key "ownr"`) {
		t.Errorf("err.Error() = %q, want a text beginning with %q", err.Error(), `m.yaml:3:14: unknown key "ownr"`)
	}
}

func TestReadNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "{}\n", "tables:\n", "tables:\n  users:\n", "\ufeff{}", "---\n{}\n...\n"} {
		d, err := metayaml.Read("m.yaml", text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if d.Len() != 0 {
			t.Errorf("%q: d.Len() = %v, want 0", text, d.Len())
		}
		if metayaml.Write(d) != "{}\n" {
			t.Errorf("%q: metayaml.Write(d) = %q, want %q", text, metayaml.Write(d), "{}\n")
		}
	}
}

// Any facts survive writing and reading.
func TestRoundTrip(t *testing.T) {
	words := rapid.OneOf(
		rapid.StringMatching(`[ -~äß\n\t☃\x{2028}\x{fffd}]{1,12}`),
		rapid.SampledFrom([]string{"null", "~", "yes", "1", "1.5", "0x1f", "1e3", "a: b", "a #b", "- a", "#", "a:", " a", "a ", "|", ">", "a\nb\n", "a\n\n", "\na", "'", `"`, "2024-01-01", "{a}", "[a]", "*a", "&a", "!a", "%a", "@a", "`a", "<<", "=", "?", "-", ".", ".inf", "a\n b", "\x01", "\U0001f600", "a,b", "a, b", "_", "1_000", "0o7", "+1", "12:30:45", "a\u0085b", "a'b", "b\\n"}),
		rapid.String().Filter(func(s string) bool { return s != "" && !strings.ContainsRune(s, 0) }),
	)
	var value *rapid.Generator[any]
	value = rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 7).Draw(t, "type") {
		case 0:
			return nil
		case 1:
			return rapid.Bool().Draw(t, "bool")
		case 2:
			return json.Number(fmt.Sprint(rapid.Int64().Draw(t, "int")))
		case 3:
			return json.Number(fmt.Sprintf("%.1f", rapid.Float64Range(-1e9, 1e9).Draw(t, "float")))
		case 4:
			return rapid.SliceOfN(value, 1, 3).Draw(t, "list")
		case 5:
			return rapid.MapOfN(words, value, 1, 3).Draw(t, "map")
		}
		return words.Draw(t, "text")
	})
	rapid.Check(t, func(t *rapid.T) {
		e := metadata.Entry{Name: metadata.Name{Kind: metadata.Table, Schema: words.Draw(t, "schema"), Object: words.Draw(t, "table")}}
		if rapid.Bool().Draw(t, "column") {
			e.Name.Kind, e.Name.Column = metadata.Column, words.Draw(t, "column name")
		}
		e.Description, e.Owner = words.Draw(t, "description"), words.Draw(t, "owner")
		e.Tags = rapid.SliceOfNDistinct(words, 0, 3, rapid.ID).Draw(t, "tags")
		if rapid.Bool().Draw(t, "named links") {
			e.Links = []metadata.Link{{Name: words.Draw(t, "link"), URL: words.Draw(t, "url")}}
		}
		e.Keys = rapid.MapOfN(words, value, 0, 3).Draw(t, "keys")
		d, err := metadata.NewDocument(e)
		if err != nil {
			t.Fatal(err)
		}
		text := metayaml.Write(d)
		again, err := metayaml.Read("m.yaml", text)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		got := again.Entries()
		facts, _ := metadata.EncodeFacts(e.Facts)
		if len(got) != 1 {
			t.Fatalf("len(got) = %v, want 1", len(got))
		}
		if got[0].Name != e.Name {
			t.Fatalf("got[0].Name = %v, want %v", got[0].Name, e.Name)
		}
		if gotFacts, _ := metadata.EncodeFacts(got[0].Facts); gotFacts != facts {
			t.Fatalf("%s\nread as %s\nwas     %s", text, gotFacts, facts)
		}
		if metayaml.Write(again) != text {
			t.Fatalf("written again as\n%s\nwas\n%s", metayaml.Write(again), text)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(full)
	for _, text := range []string{
		"tables:\n  users: &u {owner: a}\n  b: *u\n", "{tables: {a: {tags: [x, y], links: {b: c}}}}", "%YAML 1.2\n---\ntypes:\n  mood:\n    description: |\n      a\n",
		"? a\n: b\n", "tables: !!map {}\n", "- [[[[", "a: b: c: d", "\"\\x41\": 'it''s'", "views:\n  v:\n    keys: {a: .inf, b: 0x1f, c: 1e3}\n",
	} {
		f.Add(text)
	}
	const longest = 2 << 10 // the format's features all fit; longer texts only cost time
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > longest {
			t.Skip()
		}
		d, err := metayaml.Read("m.yaml", text)
		if err != nil {
			if all := metadata.Errors(nil); !errors.As(err, &all) {
				t.Fatalf("got %v, want a %T", err, all)
			} else if len(all) == 0 {
				t.Fatal("len(all) is 0")
			} else if all[0].Line < 1 {
				t.Fatalf("all[0].Line = %v, want at least %v", all[0].Line, 1)
			}
			return
		}
		written := metayaml.Write(d)
		again, err := metayaml.Read("m.yaml", written)
		if err != nil {
			t.Fatalf("what was written can't be read: %v\n%s", err, written)
		}
		if got := metayaml.Write(again); got != written {
			t.Fatalf("written again as\n%s\nwas\n%s", got, written)
		}
		if slices.ContainsFunc(again.Entries(), func(e metadata.Entry) bool { return e.IsZero() }) {
			t.Fatal("an entry without facts")
		}
	})
}
