package whimbrel_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// packageDoc returns the comment of a package.
func packageDoc(t *testing.T, file string) string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return f.Doc.Text()
}

// TestTheFirstExampleOfTheDocumentation pastes the first example of doc.go into a main package,
// builds it, and runs it twice beside a folder of migrations.
func TestTheFirstExampleOfTheDocumentation(t *testing.T) {
	t.Parallel()
	var program string
	for _, block := range new(comment.Parser).Parse(packageDoc(t, "doc.go")).Content {
		if code, ok := block.(*comment.Code); ok {
			program = code.Text
			break
		}
	}
	if !strings.HasPrefix(program, "package main") {
		t.Fatalf("the first example is no program:\n%s", program)
	}
	run := buildProgram(t, "docexample", map[string]string{
		"main.go":                         program,
		"migrations/0001_users.up.sql":    "CREATE TABLE users (id integer PRIMARY KEY);",
		"migrations/0002_language.up.sql": "ALTER TABLE users ADD COLUMN language text;",
	})
	dir := t.TempDir()
	for range 2 {
		cmd := exec.CommandContext(t.Context(), run)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("the program failed: %v\n%s", err, out)
		}
	}
	cmd := exec.CommandContext(t.Context(), buildProgram(t, "docquery", map[string]string{"main.go": `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
)

func main() {
	db, err := database.Open(context.Background(), "sqlite:app.db", database.Options{})
	if err != nil {
		log.Fatal(err)
	}
	set, err := migration.NewSet("")
	if err != nil {
		log.Fatal(err)
	}
	st, err := whimbrel.New(db, set, whimbrel.Options{}).Status(context.Background())
	fmt.Println(st.AppliedVersions(), err)
}
`}))
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "[1 2] <nil>\n" {
		t.Errorf("applied %s (%v), want [1 2]", out, err)
	}
}

// TestTheExamplesOfTheLibraryPage compiles each Go file of docs/library.md.
func TestTheExamplesOfTheLibraryPage(t *testing.T) {
	t.Parallel()
	files := examplesOf(t, "docs/library.md")
	if len(files) < 2*4 {
		t.Errorf("docs/library.md has %d examples, want at least 4", len(files)/2)
	}
	build(t, "librarypage", files, "/...")

	// The README quotes the first one.
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, open, _ := strings.Cut(files["example1/main.go"], "\nfunc Open")
	if open == "" || !strings.Contains(string(readme), "\nfunc Open"+open) {
		t.Error("README.md does not have the function Open of docs/library.md")
	}
}

// TestTheExamplesOfThePagesAboutJobs compiles each Go file of the pages about jobs and backfills.
func TestTheExamplesOfThePagesAboutJobs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"jobs", "backfill"} {
		build(t, name+"page", examplesOf(t, "docs/"+name+".md"), "/...")
	}
}

// TestTheExamplesOfThePagesForGo compiles each Go file of the pages for users of other libraries.
func TestTheExamplesOfThePagesForGo(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"golang-migrate", "goose"} {
		files := examplesOf(t, "docs/from/"+name+".md")
		if len(files) == 0 {
			t.Errorf("docs/from/%s.md has no example", name)
		}
		build(t, "from"+name, files, "/...")
	}
}

// examplesOf returns the Go files of a page, each in a folder of its own with a migration.
func examplesOf(t *testing.T, path string) map[string]string {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for i, m := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if !regexp.MustCompile(`(?m)^package `).MatchString(m[1]) {
			t.Errorf("example %d is no whole file:\n%s", i+1, m[1])
		}
		folder := fmt.Sprintf("example%d/", i+1)
		files[folder+"main.go"] = m[1]
		files[folder+"migrations/0001_a.up.sql"] = "SELECT 1;"
	}
	return files
}

// buildProgram builds a main package and returns the program's path.
func buildProgram(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name+".exe")
	build(t, name, files, "", "-o", program)
	return program
}

// build builds packages inside this module without writing into its folder, so that they use this
// version of the module and the versions of go.mod.
func build(t *testing.T, name string, files map[string]string, pattern string, flags ...string) {
	t.Helper()
	module, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := map[string]string{}
	for file, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(module, "internal", name, filepath.FromSlash(file))] = path
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o666); err != nil {
		t.Fatal(err)
	}
	// Without -o, go build would write a program into the folder if there is a single one.
	args := append([]string{"build", "-o", os.DevNull, "-overlay", filepath.Join(dir, "overlay.json")}, flags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, "./internal/"+name+pattern)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the example does not compile: %v\n%s", err, out)
	}
}

// TestTheStamp sets the version and the commit as scripts/dist does.
func TestTheStamp(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("scripts/dist")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`-ldflags "([^"]+)"`).FindSubmatch(script)
	if flags == nil {
		t.Fatal("scripts/dist has no -ldflags")
	}
	stamps := strings.NewReplacer("$module", "github.com/whimbrel-db/whimbrel", "$VERSION", "v7.8.9", "$COMMIT", "0123456789abcdef").Replace(string(flags[1]))
	program := filepath.Join(t.TempDir(), "whimbrel.exe")
	linked := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", stamps, "-o", program, "./cmd/whimbrel")
	if out, err := linked.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, arg := range []string{"--version", "version"} {
		out, err := exec.CommandContext(t.Context(), program, arg).CombinedOutput()
		if want := "whimbrel v7.8.9 (commit 0123456789ab, "; err != nil || !strings.HasPrefix(string(out), want) {
			t.Errorf("whimbrel %s prints %q (%v), want it to begin with %q", arg, out, err, want)
		}
	}
}

// errorsOfDrivers are errors of package database that the engine handles and no call returns.
var errorsOfDrivers = []string{
	"database.ErrConflict", "database.ErrHeadChanged", "database.ErrNoTransaction", "database.ErrLocked",
	"database.ErrNoTable", "database.ErrLeaseLost", "database.ErrBackfillStopped", "database.ErrBatchTimeout",
}

// errorsOfOthers are errors of functions that the root package does not call.
var errorsOfOthers = []string{"database.ErrReadOnly", "database.OccupiedError", "database.ServerDatabaseError"}

var errorName = regexp.MustCompile(`(?:[a-z]+\.)?\b(?:[A-Z]\w*Error|Err[A-Z]\w*)\b`)

// TestTheTableOfErrors compares the table in doc.go with the error types of the packages.
func TestTheTableOfErrors(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(packageDoc(t, "doc.go"), "# Errors")
	table, _, _ = strings.Cut(table, "# Examples")
	listed := errorName.FindAllString(table, -1)
	listed = slices.DeleteFunc(listed, func(name string) bool { return strings.HasPrefix(name, "errors.") })
	var existing, mustBeListed []string
	for _, pkg := range []string{".", "database", "source", "sqltext"} {
		for _, name := range exportedErrors(t, pkg) {
			existing = append(existing, name)
			if !slices.Contains(errorsOfDrivers, name) && !slices.Contains(errorsOfOthers, name) {
				mustBeListed = append(mustBeListed, name)
			}
		}
	}
	for _, name := range listed {
		if !slices.Contains(existing, name) {
			t.Errorf("the table has %s, which does not exist", name)
		}
	}
	for _, name := range mustBeListed {
		if !slices.Contains(listed, name) {
			t.Errorf("the table lacks %s", name)
		}
	}
}

// exportedErrors returns the exported error types and variables of a package, as the root package's
// documentation writes them.
func exportedErrors(t *testing.T, dir string) (names []string) {
	t.Helper()
	prefix := ""
	if dir != "." {
		prefix = dir + "."
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				for _, id := range declared(spec) {
					if errorName.FindString(id.Name) == id.Name {
						names = append(names, prefix+id.Name)
					}
				}
			}
		}
	}
	return names
}

func declared(spec ast.Spec) []*ast.Ident {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		return []*ast.Ident{s.Name}
	case *ast.ValueSpec:
		return s.Names
	}
	return nil
}
