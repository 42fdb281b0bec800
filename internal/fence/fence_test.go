// Package fence checks the imports of every package of the module: which other packages of the
// module it may import, and which libraries it may link. A new package needs a new line in the
// table of rules. If a rule fails, change the package; change the rule only together with
// docs/architecture.md, which lists the packages.
package fence

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/whimbrel-db/whimbrel"

// rule limits what a package's code may import. Its tests may import anything.
type rule struct {
	// pkg is relative to the module; "." is the module's root. "x/..." is x and all packages below
	// it, which may import one another.
	pkg string

	// imports are the packages of the module that it may import, written like pkg.
	imports []string

	// outside are prefixes of the import paths of libraries that it may import. A package without
	// any links the standard library only, also indirectly.
	outside []string

	// linksAll allows it to import and link any library.
	linksAll bool

	// forTests is set for packages that only tests import. They may import package testing.
	forTests bool
}

const diffLibrary = "github.com/rogpeppe/go-internal/diff"

// everywhere are packages of the module that each of its packages may import.
var everywhere = []string{"internal/lazyregexp", "internal/order"}

// rules are in the order of the layers: a package may import only packages above it in this list.
// The root package imports the contract (package database), not the drivers.
var rules = []rule{
	{pkg: "internal/lazyregexp"},
	{pkg: "internal/order"},
	{pkg: "sqltext"},
	{pkg: "internal/spelling"},
	{pkg: "internal/filekind"},
	{pkg: "internal/durations"},
	{pkg: "internal/times"},
	{pkg: "internal/plaintext"},
	{pkg: "migration", imports: []string{"sqltext", "internal/spelling"}},
	{pkg: "catalog"},
	// It starts processes, so only the command and whimbreltest may import it. Nothing but tests
	// imports whimbreltest, and it starts a server only if a test asks for a database without a URL.
	{pkg: "internal/localserver"},
	{pkg: "metadata", imports: []string{"internal/spelling"}},
	{
		pkg:     "diagram",
		imports: []string{"catalog", "metadata", "sqltext", "internal/plaintext"},
		outside: []string{"golang.org/x/text"}, // the widths of characters
	},
	{pkg: "internal/yamltext", outside: []string{"github.com/goccy/go-yaml"}},
	{
		pkg:     "metadata/metayaml",
		imports: []string{"metadata", "internal/yamltext"},
		outside: []string{"github.com/goccy/go-yaml"},
	},
	{pkg: "database", imports: []string{"migration", "sqltext", "catalog", "metadata", "internal/durations", "internal/times"}},
	{pkg: "internal/exampledriver", imports: []string{"database", "migration", "sqltext", "catalog", "metadata"}}, // for docs/driver.md
	{pkg: "source", imports: []string{"migration", "sqltext", "internal/spelling", "internal/filekind"}},
	{
		pkg:      "database/databasetest",
		imports:  []string{"database", "migration", "sqltext", "metadata"},
		forTests: true,
	},
	{
		pkg:     "database/internal/drivers", // what drivers share
		imports: []string{"database", "migration", "sqltext", "catalog", "metadata"},
	},
	{
		pkg:     "database/memdb",
		imports: []string{"database", "database/internal/drivers", "migration", "sqltext", "catalog", "metadata"},
	},
	{
		pkg:     "database/postgres/...",
		imports: []string{"database", "database/internal/drivers", "migration", "sqltext", "catalog", "metadata"},
		outside: []string{"github.com/jackc/pgx/v5", "github.com/jackc/puddle/v2"},
	},
	{
		pkg:     "database/sqlite",
		imports: []string{"database", "database/internal/drivers", "migration", "sqltext", "catalog", "metadata", "internal/filekind"},
		outside: []string{"modernc.org/sqlite", "modernc.org/libc"},
	},
	{
		pkg:     "database/mysql/...",
		imports: []string{"database", "database/internal/drivers", "migration", "sqltext", "catalog", "metadata"},
		outside: []string{"github.com/go-sql-driver/mysql"},
	},
	{pkg: "internal/lanes", imports: []string{"database", "migration", "sqltext"}},
	{
		pkg:     ".",
		imports: []string{"internal/lanes", "source", "database", "migration", "sqltext", "catalog", "metadata", "internal/times"},
		outside: []string{diffLibrary}, // for the difference between two texts of a script
	},
	{
		pkg:     "inspect",
		imports: []string{".", "catalog", "database", "metadata", "migration", "sqltext"},
		outside: []string{diffLibrary},
	},
	{
		pkg:     "report",
		imports: []string{".", "catalog", "database", "diagram", "inspect", "metadata", "migration", "sqltext", "internal/plaintext", "internal/times"},
		outside: []string{diffLibrary, "golang.org/x/text"},
	},
	{
		pkg:     "schemafile",
		imports: []string{".", "catalog", "database", "inspect", "internal/filekind", "migration", "sqltext"},
		outside: []string{diffLibrary},
	},
	{
		pkg:     "metadata/metadb",
		imports: []string{".", "database", "metadata"},
		outside: []string{diffLibrary},
	},
	{
		pkg:     "query",
		imports: []string{".", "database", "migration", "sqltext"},
		outside: []string{diffLibrary},
	},
	{
		pkg:     "adopt/classic", // links no driver: the program imports the one that it needs
		imports: []string{".", "database", "internal/yamltext", "metadata/...", "migration", "query", "source", "sqltext"},
		outside: []string{diffLibrary, "github.com/goccy/go-yaml"},
	},
	{
		pkg:      "adopt/classic/classictest",
		imports:  []string{"adopt/classic"},
		outside:  []string{diffLibrary, "github.com/goccy/go-yaml"},
		forTests: true,
	},
	{
		pkg:     "adopt", // links no driver
		imports: []string{".", "catalog", "database", "inspect", "migration", "sqltext"},
		outside: []string{diffLibrary},
	},
	{
		pkg:     "otelwhimbrel",
		imports: []string{"."},
		outside: []string{"go.opentelemetry.io", "github.com/go-logr", diffLibrary},
	},
	{
		pkg:      "whimbreltest", // links no driver: the test imports the one that it needs
		imports:  []string{".", "source", "database", "migration", "sqltext", "catalog", "inspect", "internal/localserver"},
		outside:  []string{diffLibrary},
		forTests: true,
	},
	{
		pkg: "internal/cli/...",
		imports: []string{
			".", "source", "database", "migration", "sqltext", "catalog", "metadata/...", "inspect", "query", "diagram", "report", "schemafile", "adopt",
			"internal/spelling", "internal/durations", "internal/filekind", "internal/localserver", "internal/plaintext", "internal/times", "internal/yamltext",
		},
		outside: slices.Concat(commandLine, terminal, configuration, []string{diffLibrary, "golang.org/x/text", "github.com/jackc/pgpassfile"}),
	},
	{
		pkg:      "cmd/whimbrel",
		imports:  []string{"internal/cli", "database/postgres", "database/sqlite", "database/mysql"},
		linksAll: true,
	},
	// It links River, a job queue, and the clients of its databases.
	{
		pkg:      "backfill",
		imports:  []string{".", "database", "database/postgres", "database/sqlite", "internal/lanes", "migration", "sqltext"},
		linksAll: true,
	},
	{
		pkg:      "cmd/whimbrel-work",
		imports:  []string{"backfill", "internal/cli", "database/postgres", "database/sqlite", "database/mysql"},
		linksAll: true,
	},
	{pkg: "internal/archive"}, // a build tool
	{pkg: "internal/manual", imports: []string{"internal/cli"}, linksAll: true}, // a build tool
	{
		pkg:      "internal/testdb",
		outside:  []string{"github.com/jackc/pgx/v5", "github.com/go-sql-driver/mysql"},
		forTests: true,
	},
	{pkg: "internal/fence", forTests: true},
	{pkg: "internal/faults", forTests: true},
	{pkg: "internal/hostile", forTests: true},
	{pkg: "internal/locktable", forTests: true},
	// What users write.
	{
		pkg:      "examples/...",
		imports:  []string{".", "backfill", "source", "database/...", "migration", "sqltext"},
		linksAll: true,
	},
	{
		pkg:      "bench/...",
		imports:  []string{".", "source", "database/...", "migration", "sqltext"},
		linksAll: true,
	},
}

// Libraries that only the packages that name them above may link, directly or indirectly.
var (
	clients = []string{
		"github.com/jackc/pgx", "github.com/lib/pq", "modernc.org/sqlite", "github.com/mattn/go-sqlite3",
		"github.com/ncruces/go-sqlite3", "github.com/go-sql-driver/mysql",
	}
	commandLine = []string{"github.com/spf13/cobra", "github.com/spf13/pflag"}
	terminal    = []string{
		"golang.org/x/term", "github.com/charmbracelet", "charm.land", "github.com/muesli", "github.com/mattn/go-isatty",
		"github.com/mattn/go-runewidth", "github.com/vbauerster/mpb", "github.com/jedib0t/go-pretty",
	}
	configuration = []string{"github.com/goccy/go-yaml", "go.yaml.in/yaml", "gopkg.in", "github.com/knadh/koanf"}

	telemetry = []string{"go.opentelemetry.io", "github.com/prometheus"}
	drawing   = []string{"github.com/go-analyze", "github.com/golang/freetype", "golang.org/x/image", "gonum.org"}

	queues = []string{"github.com/riverqueue", "riverqueue.com"}

	kinds = map[string][]string{
		"a job queue":             queues,
		"a telemetry library":     telemetry,
		"a database client":       clients,
		"a command-line library":  commandLine,
		"a terminal library":      terminal,
		"a configuration library": configuration,
		"a chart library":         drawing, // only tests in bench use one
	}
)

func TestImports(t *testing.T) {
	packages := list(t)
	for path, p := range packages {
		if !ours(path) {
			continue
		}
		name := relative(path)
		t.Run(name, func(t *testing.T) {
			if p.Error != nil {
				t.Fatalf("%s can't be read: %s", name, p.Error.Err)
			}
			r := ruleFor(name)
			if r == nil {
				t.Fatalf("package %s has no rule: add one that lists what it may import", name)
			}
			for _, violation := range r.violations(packages, p) {
				t.Error(violation)
			}
		})
	}
}

// TestRulesNameExistingPackages fails for a rule that outlived its package.
func TestRulesNameExistingPackages(t *testing.T) {
	existing := []string{}
	for path := range list(t) {
		if ours(path) {
			existing = append(existing, relative(path))
		}
	}
	for _, problem := range staleRules(rules, existing) {
		t.Error(problem)
	}
}

// staleRules returns a sentence for each rule, and each import in a rule, that matches no existing
// package, and for each package that has two rules.
func staleRules(rules []rule, existing []string) (problems []string) {
	missing := func(pattern string) bool {
		return !slices.ContainsFunc(existing, func(name string) bool { return matches(name, pattern) })
	}
	seen := map[string]bool{}
	for _, r := range rules {
		if missing(r.pkg) {
			problems = append(problems, "there is a rule for "+r.pkg+", which does not exist")
		}
		if seen[r.pkg] {
			problems = append(problems, "there are two rules for "+r.pkg)
		}
		seen[r.pkg] = true
		for _, imported := range r.imports {
			if missing(imported) {
				problems = append(problems, "the rule for "+r.pkg+" allows "+imported+", which does not exist")
			}
		}
	}
	return problems
}

func TestStaleRules(t *testing.T) {
	got := staleRules([]rule{
		{pkg: "."},
		{pkg: "a/...", imports: []string{".", "b", "c/..."}},
		{pkg: "b", imports: []string{"d"}},
		{pkg: "b"},
		{pkg: "e/..."},
	}, []string{".", "a/x", "b", "c", "cd", "ef"})
	want := []string{
		"the rule for b allows d, which does not exist",
		"there are two rules for b",
		"there is a rule for e/..., which does not exist",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// violations returns a sentence for each import of a package that its rule forbids.
func (r *rule) violations(packages map[string]*pkg, p *pkg) []string {
	var sentences []string
	name := relative(p.ImportPath)
	say := func(words ...string) { sentences = append(sentences, strings.Join(words, "")) }

	for _, imported := range p.Imports {
		switch {
		case ours(imported):
			other := relative(imported)
			if !matches(other, slices.Concat(r.imports, everywhere, []string{r.pkg})...) {
				say(name, " must not import ", other, ": it may import ", orNothing(r.imports), " of this module")
			}
			if o := ruleFor(other); o != nil && o.forTests && !r.forTests {
				say(name, " must not import ", other, ": only tests may")
			}
		case imported == "testing" && !r.forTests:
			say(name, " must not import testing outside its tests")
		case outside(packages, imported) && !r.linksAll && !hasPrefix(imported, r.outside):
			say(name, " must not import ", imported, ": it may import ", orNothing(r.outside),
				" from outside the standard library")
		}
	}
	return append(sentences, r.linkViolations(packages, p)...)
}

// linkViolations returns a sentence for each library that a package links indirectly and must not.
func (r *rule) linkViolations(packages map[string]*pkg, p *pkg) (sentences []string) {
	if r.linksAll {
		return nil
	}
	name := relative(p.ImportPath)
	for _, dep := range p.Deps {
		if slices.Contains(p.Imports, dep) || !outside(packages, dep) || hasPrefix(dep, r.outside) {
			continue // direct imports are checked in violations
		}
		if len(r.outside) == 0 {
			sentences = append(sentences,
				name+" must link the standard library only: "+chain(packages, p.ImportPath, dep))
			continue
		}
		for kind, libraries := range kinds {
			if hasPrefix(dep, libraries) {
				sentences = append(sentences,
					name+" must not link "+kind+" that isn't its own: "+chain(packages, p.ImportPath, dep))
			}
		}
	}
	return sentences
}

// TestTheFence gives the fence imports that break each kind of rule.
func TestTheFence(t *testing.T) {
	packages := map[string]*pkg{}
	for path, imports := range map[string][]string{
		module + "/sqltext":                      {"strings"},
		module + "/sqltext/x":                    {},
		module + "/migration":                    {module + "/database", "testing"},
		module + "/database":                     {module + "/sqltext", "github.com/jackc/pgx/v5"},
		module + "/database/sqlite":              {module + "/database", "modernc.org/sqlite"},
		module + "/database/postgres":            {"github.com/jackc/pgx/v5/pgconn", module + "/database/postgres/internal/x"},
		module + "/database/postgres/internal/x": {"golang.org/x/term"},
		module:                                   {module + "/database/memdb", module + "/internal/testdb"},
		module + "/internal/cli/render":          {"github.com/charmbracelet/lipgloss", module + "/internal/cli", "testing"},
		"strings":                                {},
		"testing":                                {},
		"github.com/jackc/pgx/v5":                {},
		"github.com/jackc/pgx/v5/pgconn":         {},
		"modernc.org/sqlite":                     {},
		"golang.org/x/term":                      {},
		"github.com/charmbracelet/lipgloss":      {},
		module + "/internal/testdb":              {},
		module + "/database/memdb":               {},
		module + "/internal/cli":                 {},
		module + "/cmd/whimbrel":                 {module + "/internal/cli", module + "/database/sqlite"},
	} {
		packages[path] = &pkg{ImportPath: path, Imports: imports, Standard: !strings.Contains(path, ".")}
	}
	for _, p := range packages {
		p.Deps = dependencies(packages, p.ImportPath)
	}
	for name, want := range map[string][]string{
		"sqltext": nil,
		"migration": {
			"migration must not import database: it may import sqltext, internal/spelling of this module",
			"migration must not import testing outside its tests",
			"migration must link the standard library only: migration → database → github.com/jackc/pgx/v5",
		},
		"database": {
			"database must not import github.com/jackc/pgx/v5: it may import nothing from outside the standard library",
		},
		"database/sqlite": {
			"database/sqlite must not link a database client that isn't its own: database/sqlite → database → github.com/jackc/pgx/v5",
		},
		"database/postgres": {
			"database/postgres must not link a terminal library that isn't its own: " +
				"database/postgres → database/postgres/internal/x → golang.org/x/term",
		},
		"database/postgres/internal/x": {
			"database/postgres/internal/x must not import golang.org/x/term: " +
				"it may import github.com/jackc/pgx/v5, github.com/jackc/puddle/v2 from outside the standard library",
		},
		".": {
			". must not import database/memdb: it may import internal/lanes, source, database, migration, sqltext, catalog, metadata, internal/times of this module",
			". must not import internal/testdb: it may import internal/lanes, source, database, migration, sqltext, catalog, metadata, internal/times of this module",
			". must not import internal/testdb: only tests may",
		},
		"internal/cli/render": {"internal/cli/render must not import testing outside its tests"},
		"cmd/whimbrel":        nil,
	} {
		path := module
		if name != "." {
			path += "/" + name
		}
		got := ruleFor(name).violations(packages, packages[path])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("violations of %s (-want +got):\n%s", name, diff)
		}
	}
	if ruleFor("sqltext/x") != nil {
		t.Error("a package below sqltext has a rule; want none")
	}
}

// pkg is a package as the go command describes it.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string // without those of its tests
	Deps       []string // direct and indirect imports
	Error      *struct{ Err string }
}

// list returns the module's packages and all packages that they link, by import path.
func list(t *testing.T) map[string]*pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Standard,Imports,Deps,Error", module+"/...")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	packages := map[string]*pkg{}
	decoder := json.NewDecoder(out)
	for {
		p := &pkg{}
		if err := decoder.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return packages
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

func relative(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func outside(packages map[string]*pkg, path string) bool {
	p := packages[path]
	return p != nil && !p.Standard && !ours(path)
}

// ruleFor returns the rule for a package: the one with the longest pattern that matches.
func ruleFor(name string) *rule {
	var found *rule
	for i := range rules {
		if r := &rules[i]; matches(name, r.pkg) && (found == nil || len(r.pkg) > len(found.pkg)) {
			found = r
		}
	}
	return found
}

func matches(name string, patterns ...string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		below, ok := strings.CutSuffix(pattern, "/...")
		return name == below || ok && strings.HasPrefix(name, below+"/")
	})
}

func hasPrefix(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		return path == prefix || strings.HasPrefix(path, prefix+"/")
	})
}

func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// chain returns the shortest path of imports from one package to another: "a → b → c".
func chain(packages map[string]*pkg, from, to string) string {
	paths := map[string]string{from: relative(from)}
	for next := []string{from}; len(next) > 0; next = next[1:] {
		for _, imported := range packages[next[0]].Imports {
			if paths[imported] == "" && packages[imported] != nil {
				paths[imported] = paths[next[0]] + " → " + relative(imported)
				next = append(next, imported)
			}
		}
	}
	return paths[to]
}

// dependencies returns the packages that a package imports, directly and indirectly.
func dependencies(packages map[string]*pkg, from string) []string {
	var found []string
	var visit func(string)
	visit = func(path string) {
		for _, imported := range packages[path].Imports {
			if !slices.Contains(found, imported) {
				found = append(found, imported)
				visit(imported)
			}
		}
	}
	visit(from)
	return found
}
