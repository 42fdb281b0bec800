package metadata_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/metadata"
	"pgregory.net/rapid"
)

func name(t testing.TB, kind metadata.Kind, text string) metadata.Name {
	t.Helper()
	n, err := metadata.ParseName(kind, text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestParseName(t *testing.T) {
	for text, want := range map[string]metadata.Name{
		"schema app":                        {Object: "app"},
		"table users":                       {Object: "users"},
		"table public.Users":                {Schema: "public", Object: "Users"},
		`table "a.b"."c""d"`:                {Schema: "a.b", Object: `c"d`},
		"column public.users.email":         {Schema: "public", Object: "users", Column: "email"},
		"column users.email":                {Object: "users", Column: "email"},
		"view column v.x":                   {Object: "v", Column: "x"},
		"function public.area(int,  float)": {Schema: "public", Object: "area", Args: "(int, float)"},
		"function now()":                    {Object: "now", Args: "()"},
		`function f(public."A.b"[])`:        {Object: "f", Args: `(public."A.b"[])`},
		"type public.mood":                  {Schema: "public", Object: "mood"},
	} {
		i := strings.LastIndex(text, "column ") + len("column ")
		if i < len("column ") {
			i = strings.Index(text, " ") + 1
		}
		want.Kind = metadata.Kind(text[:i-1])
		got, err := metadata.ParseName(want.Kind, text[i:])
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"table ":        "one of its parts is empty",
		"table a.b.c":   "write it as public.users",
		"table a..b":    "one of its parts is empty",
		`table "a`:      "unterminated quote",
		`table "a"b`:    "a dot must follow",
		"table f(int)":  "put double quotes around",
		"column email":  "write it as public.users.email",
		"function area": "write it as public.area(integer, integer)",
		"schema a.b":    "write it as app",
		"sequence s":    "unknown kind",
	} {
		kind, rest, _ := strings.Cut(text, " ")
		if _, err := metadata.ParseName(metadata.Kind(kind), rest); err == nil {
			t.Errorf("%s: got no error", text)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", text, err.Error(), want)
		}
	}
}

func TestNamesAreReadAsTheyAreWritten(t *testing.T) {
	part := rapid.StringMatching(`[a-zA-Z0-9 ."()ä]{1,5}`)
	rapid.Check(t, func(t *rapid.T) {
		n := metadata.Name{Kind: metadata.Column, Object: part.Draw(t, "table"), Column: part.Draw(t, "column")}
		n.Schema = rapid.OneOf(part, rapid.Just("")).Draw(t, "schema")
		got, err := metadata.ParseName(n.Kind, n.String())
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		if got != n {
			t.Fatalf("%s: got %v, want %v", n, got, n)
		}
	})
}

// base is a database of tables with IDs and comments.
type base struct {
	t testing.TB
	metadata.State
}

func newBase(t testing.TB, tables ...string) *base {
	b := &base{t: t, State: metadata.State{Comments: true, Path: []string{"public"}}}
	for _, table := range tables {
		b.object(metadata.Table, "public."+table, table+"#")
	}
	return b
}

func (b *base) object(kind metadata.Kind, text, id string) *metadata.Object {
	b.Objects = append(b.Objects, metadata.Object{Name: name(b.t, kind, text), ID: id})
	return &b.Objects[len(b.Objects)-1]
}

func (b *base) find(text string) *metadata.Object {
	b.t.Helper()
	for i := range b.Objects {
		if b.Objects[i].Name.String() == text {
			return &b.Objects[i]
		}
	}
	b.t.Fatalf("there is no %s", text)
	return nil
}

func (b *base) rename(text, to string) {
	b.t.Helper()
	o := b.find(text)
	o.Name = name(b.t, o.Name.Kind, to)
}

func (b *base) drop(text string) {
	b.Objects = slices.DeleteFunc(b.Objects, func(o metadata.Object) bool { return o.Name.String() == text })
}

// does applies a change to the database.
func (b *base) does(c *metadata.Change, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	b.Entries = c.Entries
	for _, comment := range c.Comments {
		o := b.find(comment.Name.String())
		if o.ID != comment.ID {
			b.t.Errorf("the comment of %s is for %s", o.ID, comment.ID)
		}
		o.Comment = comment.Text
	}
}

func doc(t testing.TB, entries ...metadata.Entry) *metadata.Document {
	t.Helper()
	d, err := metadata.NewDocument(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// table returns an entry for a table.
func table(t testing.TB, text, description, owner string) metadata.Entry {
	return metadata.Entry{Name: name(t, metadata.Table, text), Facts: metadata.Facts{Description: description, Owner: owner}}
}

func (b *base) want(entries ...string) {
	b.t.Helper()
	got := []string{}
	for _, e := range b.Entries {
		got = append(got, fmt.Sprintf("%s %s %s", e.Name, e.Description, e.Owner))
	}
	if !slices.Equal(got, entries) {
		b.t.Errorf("entries %q, want %q", got, entries)
	}
}

func (b *base) comments() string {
	var all []string
	for _, o := range b.Objects {
		all = append(all, o.Comment)
	}
	return strings.Join(all, ",")
}

func TestApplyAndComments(t *testing.T) {
	b := newBase(t, "a", "b", "c", "d")
	b.find("public.d").Comment = "of a migration"
	b.does(b.Apply(doc(t, table(t, "a", "A", "me"), table(t, "public.b", "B", ""), table(t, "c", "C", ""))))
	b.want("public.a A me", "public.b B ", "public.c C ")
	if got := b.comments(); got != "A,B,C,of a migration" {
		t.Error(got)
	}
	b.find("public.c").Comment = "by hand"
	b.does(b.Apply(doc(t, table(t, "a", "A2", ""), table(t, "b", "", "you"))))
	b.want("public.a A2 ", "public.b  you")
	if got := b.comments(); got != "A2,,by hand,of a migration" {
		t.Error(got)
	}
	b.does(b.Reset(), nil)
	if got := b.comments(); got != ",,by hand,of a migration" {
		t.Errorf("got %q, want %q", got, ",,by hand,of a migration")
	} else if len(b.Entries) != 0 {
		t.Errorf("len(b.Entries) = %v, want 0", len(b.Entries))
	}
	d := doc(t, table(t, "d", "D", ""))
	b.Comments = false
	if c, err := b.Apply(d); err != nil {
		t.Error(err)
	} else if len(c.Comments) != 0 {
		t.Errorf("len(c.Comments) = %v, want 0", len(c.Comments))
	}
}

func TestApplySaysWhatIsWrong(t *testing.T) {
	b := newBase(t, "users", "other")
	b.object(metadata.View, "public.v", "v#")
	b.object(metadata.Column, "public.users.email", "e#")
	b.object(metadata.Function, "public.area(integer)", "f#")
	b.does(b.Apply(doc(t, table(t, "other", "", "me"))))
	b.rename("public.other", "app.others")
	for text, want := range map[string]string{
		"table public.usres":         "the database has no table public.usres; did you mean public.users?",
		"table app.users":            "the database has no table app.users; did you mean public.users?",
		"table nothing":              "the database has no table nothing",
		"table v":                    "public.v is a view, not a table: write it under views",
		"view public.users":          "public.users is a table, not a view: write it under tables",
		"column users.emial":         "the database has no column users.emial; did you mean public.users.email?",
		"table usres":                "the database has no table usres; did you mean public.users?",
		"column public.users.emial":  "the database has no column public.users.emial; did you mean public.users.email?",
		"function public.area(int)":  "the database has no function public.area(int); did you mean public.area(integer)?",
		"table public.other":         "the database has no table public.other; it was renamed to app.others",
		"table other":                "the database has no table other; it was renamed to app.others",
		"schema app":                 "the database has no schema app",
		"function public.area(text)": "the database has no function public.area(text); did you mean public.area(integer)?",
	} {
		kind, rest, _ := strings.Cut(text, " ")
		// also with an entry without facts
		for _, facts := range []metadata.Facts{{Owner: "me"}, {}} {
			_, err := b.Apply(doc(t, metadata.Entry{Name: name(t, metadata.Kind(kind), rest), Facts: facts}))
			if err == nil {
				t.Fatalf("%s: got no error", text)
			}
			if err.Error() != want {
				t.Errorf("%s: err.Error() = %q, want %q", text, err.Error(), want)
			}
		}
	}
	_, err := b.Apply(doc(t, table(t, "users", "", "me"), table(t, "public.users", "", "you")))
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.Contains(err.Error(), "appears twice, with and without its schema") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "appears twice, with and without its schema")
	}
	entry := table(t, "nothing", "", "me")
	entry.Pos = metadata.Position{File: "m.yaml", Line: 3, Column: 5}
	column := metadata.Entry{Name: name(t, metadata.Column, "nothing.x"), Facts: metadata.Facts{Owner: "me"}, Pos: metadata.Position{File: "m.yaml", Line: 9, Column: 5}}
	var all metadata.Errors
	if _, err = b.Apply(doc(t, column, entry)); !errors.As(err, &all) {
		t.Errorf("got %v, want a %T", err, all)
	} else if len(all) != 1 {
		t.Errorf("len(all) = %v, want 1", len(all))
	} else if all[0].Line != 3 {
		t.Errorf("all[0].Line = %v, want 3", all[0].Line)
	}
}

func TestMergeAndUnmerge(t *testing.T) {
	b := newBase(t, "a", "b", "c")
	b.does(b.Apply(doc(t, table(t, "a", "A", ""), table(t, "b", "B", ""))))
	b.find("public.a").Comment = "by hand"
	b.rename("public.b", "public.b2")
	d := doc(t, table(t, "b2", "", "me"), table(t, "c", "C", ""))
	b.does(b.Merge(d))
	b.want("public.a A ", "public.b2  me", "public.c C ")
	if got := b.comments(); got != "by hand,,C" {
		t.Error(got)
	}
	b.drop("public.c")
	b.does(b.Unmerge(doc(t, table(t, "b2", "", "me"), table(t, "c", "C", ""))), nil)
	b.want("public.a A ", "public.b2  me")
}

func TestKnown(t *testing.T) {
	b := newBase(t, "a", "b")
	d := b.Known(doc(t, table(t, "a", "A", ""), table(t, "gone", "G", "")), doc(t, table(t, "public.a", "A2", ""), table(t, "b", "B", "")))
	b.does(b.Merge(d))
	b.want("public.a A2 ", "public.b B ")
}

func TestInconsistent(t *testing.T) {
	b := newBase(t, "stays", "moves", "goes", "anew", "swaps")
	b.object(metadata.Column, "public.stays.x", "x#")
	b.object(metadata.Column, "public.goes.y", "y#")
	b.object(metadata.Column, "public.swaps.z", "z#")
	var entries []metadata.Entry
	for _, o := range b.Objects {
		entries = append(entries, metadata.Entry{Name: o.Name, Facts: metadata.Facts{Description: "of " + o.Name.Object}})
	}
	b.does(b.Apply(doc(t, entries...)))
	if all := b.Inconsistent(); len(all) != 0 {
		t.Fatal(all)
	}
	b.rename("public.moves", "app.moved")
	b.rename("public.stays.x", "public.stays.x2")
	b.drop("public.goes")
	b.drop("public.goes.y")
	b.find("public.anew").ID = "anew#2"
	b.drop("public.swaps")
	b.drop("public.swaps.z")
	b.object(metadata.View, "public.swaps", "v#")
	b.object(metadata.ViewColumn, "public.swaps.z", "vz#")
	want := map[string]string{
		"table public.anew":     "dropped and created again: another table has the name now",
		"table public.goes":     "it no longer exists",
		"column public.goes.y":  "its table no longer exists",
		"table public.moves":    "renamed to app.moved",
		"column public.stays.x": "renamed to public.stays.x2",
		"table public.swaps":    "it is a view now",
		"column public.swaps.z": "it belongs to a view now",
	}
	all := b.Inconsistent()
	for _, in := range all {
		what := in.Name.Kind.Type() + " " + in.Name.String()
		if in.Reason != want[what] {
			t.Errorf("%s: in.Reason = %v, want %v", what, in.Reason, want[what])
		}
		if in.Description != "of "+in.Name.Object {
			t.Errorf("%s: in.Description = %v, want %v", what, in.Description, "of "+in.Name.Object)
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d are inconsistent: %+v", len(all), all)
	}
	before := b.comments()
	b.does(b.DropInconsistent(), nil)
	b.want("public.stays of stays ")
	if got := b.comments(); got != before {
		t.Errorf("comments %s, were %s", got, before)
	}
	b.object(metadata.Table, "public.moves", "m#") // which no entry describes any more
	if all := b.Inconsistent(); len(all) != 0 {
		t.Error(all)
	}
}

func TestAnotherObjectWithTheOldName(t *testing.T) {
	b := newBase(t, "a")
	b.does(b.Apply(doc(t, table(t, "a", "A", ""))))
	b.rename("public.a", "public.b")
	b.object(metadata.Table, "public.a", "new#")
	all := b.Inconsistent()
	if len(all) != 1 {
		t.Fatalf("len(all) = %v, want 1", len(all))
	}
	if all[0].Reason != "renamed to public.b; another table has the name now" {
		t.Errorf("all[0].Reason = %q, want %q", all[0].Reason, "renamed to public.b; another table has the name now")
	}
	if all[0].Renamed.Object != "b" {
		t.Errorf("all[0].Renamed.Object = %q, want %q", all[0].Renamed.Object, "b")
	}
}

// Without IDs, an entry is inconsistent only if its name is gone.
func TestWithoutIDs(t *testing.T) {
	b := newBase(t, "a", "b")
	b.does(b.Apply(doc(t, table(t, "a", "A", ""), table(t, "b", "B", ""))))
	for i := range b.Entries {
		b.Entries[i].ID = ""
	}
	b.find("public.a").ID = "another"
	b.drop("public.b")
	if all := b.Inconsistent(); len(all) != 1 {
		t.Errorf("len(all) = %v, want 1", len(all))
	} else if all[0].Name.Object != "b" {
		t.Errorf("all[0].Name.Object = %q, want %q", all[0].Name.Object, "b")
	}
	b.does(b.Apply(doc(t, table(t, "a", "", "me"))))
	if got := b.comments(); got != "" {
		t.Errorf("the comment is %q", got)
	}
}

func TestReload(t *testing.T) {
	b := newBase(t, "same", "hand", "removed", "moved", "anew", "described", "gone")
	b.does(b.Apply(doc(t,
		table(t, "same", "S", "me"), table(t, "hand", "H", "me"), table(t, "removed", "R", ""), table(t, "moved", "M", "me"),
		table(t, "anew", "A", "me"), table(t, "gone", "G", ""),
	)))
	b.find("public.hand").Comment = "by hand"
	b.find("public.removed").Comment = ""
	b.rename("public.moved", "app.moved")
	b.find("public.anew").ID, b.find("public.anew").Comment = "anew#2", ""
	b.find("public.described").Comment = "D"
	b.drop("public.gone")
	b.does(b.Reload(), nil)
	b.want("app.moved M me", "public.anew A me", "public.described D ", "public.gone G ", "public.hand by hand me", "public.same S me")
	if got := b.find("public.anew").Comment; got != "A" {
		t.Errorf("the comment of what was created anew is %q", got)
	}
	if c := b.Reload(); !b.Has(c) {
		t.Errorf("a second time something changes: %+v", c)
	}
	if all := b.Inconsistent(); len(all) != 1 {
		t.Errorf("len(all) = %v, want 1", len(all))
	} else if all[0].Name.Object != "gone" {
		t.Errorf("all[0].Name.Object = %q, want %q", all[0].Name.Object, "gone")
	}
}

// Two tables that swap names keep their entries.
func TestReloadAfterASwap(t *testing.T) {
	b := newBase(t, "a", "b")
	b.does(b.Apply(doc(t, table(t, "a", "A", "one"), table(t, "b", "B", "two"))))
	b.rename("public.a", "public.tmp")
	b.rename("public.b", "public.a")
	b.rename("public.tmp", "public.b")
	b.does(b.Reload(), nil)
	b.want("public.a B two", "public.b A one")
}

// An entry whose new name is taken keeps its old name.
func TestReloadIntoATakenName(t *testing.T) {
	b := newBase(t, "a", "b")
	b.does(b.Apply(doc(t, table(t, "a", "A", "one"), table(t, "b", "B", "two"))))
	b.drop("public.b")
	b.rename("public.a", "public.b")
	b.does(b.Reload(), nil)
	if len(b.Entries) != 2 {
		t.Fatalf("len(b.Entries) = %v, want 2", len(b.Entries))
	}
	if b.Entries[0].Name.Object != "a" {
		t.Errorf("b.Entries[0].Name.Object = %q, want %q", b.Entries[0].Name.Object, "a")
	}
	if b.Entries[0].Owner != "one" {
		t.Errorf("b.Entries[0].Owner = %q, want %q", b.Entries[0].Owner, "one")
	}
	if b.Entries[1].Owner != "two" {
		t.Errorf("b.Entries[1].Owner = %q, want %q", b.Entries[1].Owner, "two")
	}
}

func TestDiff(t *testing.T) {
	from := doc(t, table(t, "a", "A", ""), table(t, "b", "", "me"), metadata.Entry{
		Name: name(t, metadata.Table, "c"), Facts: metadata.Facts{
			Tags: []string{"x"}, Links: []metadata.Link{{URL: "u"}}, Keys: map[string]any{"k": json.Number("1"), "gone": true},
		},
	})
	to := doc(t, table(t, "a", "A\nB", ""), table(t, "d", "", "me"), metadata.Entry{
		Name: name(t, metadata.Table, "c"), Facts: metadata.Facts{
			Tags: []string{"x", "y"}, Links: []metadata.Link{{Name: "n", URL: "u"}}, Keys: map[string]any{"k": json.Number("2"), "new": nil},
		},
	})
	var got []string
	for _, d := range metadata.Diff(from, to) {
		got = append(got, d.Change+" "+d.String())
	}
	want := []string{
		`changed table a: description "A" → "A\nB"`, "removed table b",
		"changed table c: tags x → x, y", "changed table c: links u → n u", "changed table c: keys.gone true → none",
		"changed table c: keys.k 1 → 2", "changed table c: keys.new none → null", "added table d",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if same := metadata.Diff(to, to); len(same) != 0 {
		t.Error(same)
	}
}

func TestCheck(t *testing.T) {
	b := newBase(t, "a", "b/c")
	b.object(metadata.Column, "public.a.x", "x#")
	b.object(metadata.View, "app.v", "v#")
	b.does(b.Apply(doc(t, table(t, "a", "A", ""), metadata.Entry{Name: name(t, metadata.View, "app.v"), Facts: metadata.Facts{Tags: []string{"t"}, Keys: map[string]any{"k": nil}}})))
	for _, tt := range []struct {
		rules metadata.Rules
		want  string
		all   int
	}{
		{metadata.Rules{Require: []string{"description"}}, "public.b/c[description]", 2},
		{metadata.Rules{Require: []string{"owner", "description"}, Tables: []string{"public.a"}}, "public.a[owner]", 1},
		{metadata.Rules{Require: []string{"description"}, Tables: []string{"public.*"}}, "public.b/c[description]", 2},
		{metadata.Rules{Require: []string{"description"}, Tables: []string{"public.a"}, Columns: true}, "public.a.x[description]", 2},
		{metadata.Rules{Require: []string{"tags", "keys.k", "links"}, Tables: []string{"app.*"}}, "app.v[links]", 1},
		{metadata.Rules{Require: []string{"description"}, Tables: []string{"*.a", "*"}}, "public.b/c[description] app.v[description]", 3},
	} {
		missing, checked, err := b.Check(tt.rules)
		var got []string
		for _, m := range missing {
			got = append(got, fmt.Sprintf("%s%v", m.Name, m.Facts))
		}
		if err != nil {
			t.Fatalf("%+v: %v", tt.rules, err)
		}
		if checked != tt.all {
			t.Errorf("%+v: checked = %v, want %v", tt.rules, checked, tt.all)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%+v: strings.Join(got, \" \") = %v, want %v", tt.rules, strings.Join(got, " "), tt.want)
		}
	}
	for want, rules := range map[string]metadata.Rules{
		"no required fact is named": {},
		`unknown fact "desc"`:       {Require: []string{"desc"}},
		`unknown fact "keys."`:      {Require: []string{"keys."}},
		`invalid pattern "["`:       {Require: []string{"owner"}, Tables: []string{"["}},
		"matches nothing.*":         {Require: []string{"owner"}, Tables: []string{"public.*", "nothing.*"}},
	} {
		var wrong *metadata.RulesError
		if _, _, err := b.Check(rules); !errors.As(err, &wrong) {
			t.Errorf("%+v: got %v, want a %T", rules, err, wrong)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: err.Error() = %q, want a text containing %q", rules, err.Error(), want)
		}
	}
}

func TestDocumentsHaveOneEntryForEachName(t *testing.T) {
	_, err := metadata.NewDocument(table(t, "a", "A", ""), table(t, "a", "", ""))
	if err == nil {
		t.Fatal("got no error")
	}
	if err.Error() != "table a appears twice" {
		t.Errorf("err.Error() = %q, want %q", err.Error(), "table a appears twice")
	}
}
