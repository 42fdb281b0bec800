package fence

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheContractNamesWhatExists looks up every identifier, test and promise that docs/contract.md
// names.
func TestTheContractNamesWhatExists(t *testing.T) {
	text, err := os.ReadFile("../../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}
	known := names(t)
	quoted := regexp.MustCompile("`([^`]+)`|\"([^\"]+)\"")
	checked := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(strings.Join(cells[3:], ""), -1) {
			name := m[1] + m[2]
			checked++
			if !known[name] {
				t.Errorf("docs/contract.md names %q, which does not exist", name)
			}
		}
	}
	if checked < 50 {
		t.Errorf("found only %d names in docs/contract.md: is it still a table?", checked)
	}
}

// TestPagesNameWhatExists looks up every test and promise that pages name as proofs.
func TestPagesNameWhatExists(t *testing.T) {
	known := names(t)
	for page, least := range map[string]int{"crash-safety": 30, "jobs": 18, "library": 12} {
		text, err := os.ReadFile("../../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, m := range regexp.MustCompile("`(Test[A-Z][A-Za-z]+)`|promise `([^`]+)`").FindAllStringSubmatch(string(text), -1) {
			checked++
			if name := m[1] + m[2]; !known[name] {
				t.Errorf("docs/%s.md names %q, which does not exist", page, name)
			}
		}
		if checked < least {
			t.Errorf("found only %d tests in docs/%s.md", checked, page)
		}
	}
}

// names returns the exported identifiers of the module's packages, as pkg.Name and pkg.Type.Member,
// its test functions, and the IDs of the conformance suite's promises.
func names(t *testing.T) map[string]bool {
	known := map[string]bool{}
	promise := regexp.MustCompile(`(?m)= define\("([^"]+)"`)
	err := filepath.WalkDir("../..", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path.Ext(file) != ".go" {
			return err
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(file, "databasetest") {
			for _, m := range promise.FindAllStringSubmatch(string(src), -1) {
				known[m[1]] = true
			}
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range parsed.Decls {
			declared(parsed.Name.Name, d, known)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return known
}

func declared(pkg string, d ast.Decl, known map[string]bool) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		switch {
		case d.Recv != nil:
			known[pkg+"."+receiver(d.Recv.List[0].Type)+"."+name] = true
		case strings.HasPrefix(name, "Test"):
			known[name] = true
		default:
			known[pkg+"."+name] = true
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					known[pkg+"."+n.Name] = true
				}
			case *ast.TypeSpec:
				known[pkg+"."+spec.Name.Name] = true
				members(pkg+"."+spec.Name.Name, spec.Type, known)
			}
		}
	}
}

func members(of string, typ ast.Expr, known map[string]bool) {
	var fields *ast.FieldList
	switch typ := typ.(type) {
	case *ast.StructType:
		fields = typ.Fields
	case *ast.InterfaceType:
		fields = typ.Methods
	default:
		return
	}
	for _, f := range fields.List {
		for _, n := range f.Names {
			known[of+"."+n.Name] = true
		}
	}
}

func receiver(e ast.Expr) string {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if generic, ok := e.(*ast.IndexExpr); ok {
		e = generic.X
	}
	if ident, ok := e.(*ast.Ident); ok {
		return ident.Name
	}
	return ""
}
