package fence

import (
	"bytes"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// startAllocations is how many allocations each package may make before main. Registering a driver
// and small maps need a few; a regular expression needs hundreds.
const startAllocations = 40

// The program does next to nothing before main. It does not link text/template, because the linker
// then keeps every exported method of every type, nor pgx's types, which only Go functions use.
func TestStart(t *testing.T) {
	program := filepath.Join(t.TempDir(), "whimbrel")
	if out, err := exec.Command("go", "build", "-o", program, module+"/cmd/whimbrel").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	code, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(code, []byte("report.(*view).html")) {
		t.Error("the program doesn't contain the names of its functions")
	}
	if bytes.Contains(code, []byte("text/template.(*state).evalField")) {
		t.Error("the program links text/template, which makes it 2.5 MB larger")
	}
	if bytes.Contains(code, []byte("pgx/v5/pgtype.(*Map)")) {
		t.Error("the program links pgx's registry of types, which makes it 2.7 MB larger")
	}
	cmd := exec.Command(program, "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	trace := regexp.MustCompile(`(?m)^init (\S+) .* (\d+) allocs$`).FindAllStringSubmatch(string(out), -1)
	ownPackages := 0
	for _, m := range trace {
		if !ours(m[1]) {
			continue
		}
		ownPackages++
		if n, err := strconv.Atoi(m[2]); err != nil || n > startAllocations {
			t.Errorf("package %s makes %s allocations before main, want at most %d", relative(m[1]), m[2], startAllocations)
		}
	}
	if ownPackages == 0 {
		t.Errorf("the trace shows no package of this module:\n%s", out)
	}
}

// withRegexps are the packages that may compile regular expressions before main: users read the
// first, and the others are no part of the program.
var withRegexps = []string{"internal/exampledriver", "internal/manual", "bench", "examples/..."}

// Regular expressions are compiled when they are used (package lazyregexp), and they are valid.
func TestRegexps(t *testing.T) {
	fileSet := token.NewFileSet()
	lazy := 0
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil || matches(filepath.ToSlash(folder), withRegexps...) {
			return err
		}
		file, err := parser.ParseFile(fileSet, path, nil, 0)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if vars, ok := decl.(*ast.GenDecl); ok {
				ast.Inspect(vars, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.FuncLit:
						return false
					case *ast.CallExpr:
						switch called(n) {
						case "regexp.MustCompile", "regexp.MustCompilePOSIX":
							t.Errorf("%s: compile it when it is used, with lazyregexp.New", fileSet.Position(n.Pos()))
						case "lazyregexp.New":
							lazy++
							checkPattern(t, fileSet, n)
						}
					}
					return true
				})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if lazy == 0 {
		t.Error("no regular expression was found")
	}
}

// called returns the name of a function of another package, as it is written.
func called(call *ast.CallExpr) string {
	if s, ok := call.Fun.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// checkPattern compiles the pattern of a call, unless it contains the names of constants.
func checkPattern(t *testing.T, fileSet *token.FileSet, call *ast.CallExpr) {
	t.Helper()
	pattern, ok := textOf(call.Args[0])
	if !ok {
		return
	}
	if _, err := regexp.Compile(pattern); err != nil {
		t.Errorf("%s: %v", fileSet.Position(call.Pos()), err)
	}
}

// textOf returns the value of a string literal or a sum of some.
func textOf(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		v := constant.MakeFromLiteral(e.Value, e.Kind, 0)
		return constant.StringVal(v), v.Kind() == constant.String
	case *ast.BinaryExpr:
		x, okX := textOf(e.X)
		y, okY := textOf(e.Y)
		return x + y, okX && okY
	}
	return "", false
}
