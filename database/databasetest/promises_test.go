package databasetest

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every promise has a unique ID, and the documentation of an identifier of package database makes
// it.
func TestPromisesAreMadeByTheContract(t *testing.T) {
	docs, ids := contractDocs(t), map[string]bool{}
	for _, p := range promises {
		if !validID.MatchString(p.id) || ids[p.id] {
			t.Errorf("%q is not an ID, or two promises have it", p.id)
		}
		ids[p.id] = true
		if docs[p.of] == "" {
			t.Errorf("package database documents no %s, which makes the promise %s", p.of, p.id)
		}
	}
}

var validID = regexp.MustCompile(`^[a-z]+([.-][a-z]+)*$`)

// A case checks every promise. No case of a target that has everything is skipped.
func TestPromisesAreChecked(t *testing.T) {
	checked := map[*promise]bool{contract: true}
	check := func(cases []testCase, newTarget func() Target) {
		for _, tc := range cases {
			out := record(t, tc, newTarget)
			if out.skipped {
				t.Errorf("the case %q is skipped", tc.name)
			}
			if out.message != "" {
				t.Errorf("the case %q fails: %s", tc.name, out.message)
			}
			maps.Copy(checked, out.checked)
		}
	}
	check(cases(), plain)
	check(creatorCases, plainCreator)
	for _, p := range promises {
		if !checked[p] {
			t.Errorf("no case checks the promise %s", p.id)
		}
	}
}

// contractDocs returns the comments of package database by the identifier that they document:
// "package", "Name", "Type.Method" and "Type.Field". A field without a comment has that of the
// field above it.
func contractDocs(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	pkg, err := doc.NewFromFiles(fset, parsed, "github.com/whimbrel-db/whimbrel/database")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{"package": flat(pkg.Doc)}
	for _, v := range pkg.Vars {
		for _, name := range v.Names {
			docs[name] = flat(v.Doc)
		}
	}
	for _, f := range pkg.Funcs {
		docs[f.Name] = flat(f.Doc)
	}
	for _, typ := range pkg.Types {
		docs[typ.Name] = flat(typ.Doc)
		for _, f := range typ.Funcs {
			docs[f.Name] = flat(f.Doc)
		}
		for _, f := range typ.Methods {
			docs[typ.Name+"."+f.Name] = flat(f.Doc)
		}
		for _, spec := range typ.Decl.Specs {
			addFields(docs, typ.Name, spec.(*ast.TypeSpec).Type)
		}
	}
	return docs
}

func addFields(docs map[string]string, of string, typ ast.Expr) {
	var fields *ast.FieldList
	switch typ := typ.(type) {
	case *ast.StructType:
		fields = typ.Fields
	case *ast.InterfaceType:
		fields = typ.Methods
	default:
		return
	}
	above := ""
	for _, f := range fields.List {
		if text := flat(f.Doc.Text() + " " + f.Comment.Text()); text != "" {
			above = text
		}
		for _, name := range f.Names {
			docs[of+"."+name.Name] = above
		}
	}
}

// flat returns a comment in one line.
func flat(comment string) string { return strings.Join(strings.Fields(comment), " ") }
