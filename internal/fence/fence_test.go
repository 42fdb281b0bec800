// Package fence holds the arrows of the house: which package of the module may import which, and what each may
// link from outside. A package that is new is a new line in the table below; an arrow that breaks is mended in
// the package, or changed here by somebody who means it (docs/architecture.md draws them).
package fence

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/whimbrel-db/whimbrel"

// rule says what a package's code may do; its tests may do what they like.
type rule struct {
	// pkg is relative to the module, "." being its root. With "/..." at its end it stands for all packages below,
	// too, and these may import one another.
	pkg string

	// imports are the packages of the module that it may import, written likewise.
	imports []string

	// outside are the libraries that it may import, as prefixes of import paths. Without any, it links nothing but
	// the standard library: not by way of others either.
	outside []string

	// linksAll: it may import and link any library.
	linksAll bool

	// forTests: it is only for tests to import, and may import package testing.
	forTests bool
}

// rules, from below: nothing imports what comes after it, but for the root package, which stands on the drivers'
// contract and not on the drivers.
var rules = []rule{
	{pkg: "sqltext"},
	{pkg: "internal/spelling"},
	{pkg: "migration", imports: []string{"sqltext", "internal/spelling"}},
	{pkg: "catalog"},
	{pkg: "internal/localserver"}, // starts processes, so nothing but the command may import it
	{pkg: "metadata", imports: []string{"internal/spelling"}},
	{pkg: "internal/yamltext", outside: []string{"github.com/goccy/go-yaml"}},
	{pkg: "metadata/metayaml", imports: []string{"metadata", "internal/yamltext"}, outside: []string{"github.com/goccy/go-yaml"}},
	{pkg: "database", imports: []string{"migration", "sqltext", "catalog", "metadata"}},
	{pkg: "source", imports: []string{"migration", "sqltext", "internal/spelling"}},
	{pkg: "database/databasetest", imports: []string{"database", "migration", "sqltext", "metadata"}, forTests: true},
	{pkg: "database/memdb", imports: []string{"database", "migration", "sqltext", "catalog", "metadata"}},
	{
		pkg:     "database/postgres/...",
		imports: []string{"database", "migration", "sqltext", "catalog", "metadata"},
		outside: []string{"github.com/jackc/pgx/v5"},
	},
	{
		pkg:     "database/sqlite/...",
		imports: []string{"database", "migration", "sqltext", "catalog", "metadata"},
		outside: []string{"modernc.org/sqlite"},
	},
	{
		pkg:     "database/mysql/...",
		imports: []string{"database", "migration", "sqltext", "catalog", "metadata"},
		outside: []string{"github.com/go-sql-driver/mysql"},
	},
	{pkg: "lint/...", imports: []string{"source", "database", "migration", "sqltext"}},
	{
		pkg: ".", imports: []string{"lint/...", "source", "database", "migration", "sqltext", "catalog", "metadata"},
		outside: []string{"github.com/rogpeppe/go-internal/diff"}, // shows how an edited script differs
	},
	{pkg: "inspect", imports: []string{".", "catalog", "database", "metadata", "migration", "sqltext"}, outside: []string{"github.com/rogpeppe/go-internal/diff"}},
	{pkg: "examples/...", imports: []string{".", "source", "database", "migration"}, outside: []string{"github.com/rogpeppe/go-internal/diff"}},
	{
		pkg: "internal/cli/...",
		imports: []string{
			".", "lint/...", "source", "database", "migration", "sqltext", "catalog", "metadata/...",
			"fleet/...", "adopt/...", "trace/...", "inspect/...", "backfill/...", "internal/spelling", "internal/localserver", "internal/yamltext",
		},
		outside: slices.Concat(commandLine, terminal, configuration, []string{"github.com/rogpeppe/go-internal/diff"}), // shows texts that differ
	},
	{
		pkg: "cmd/whimbrel",
		imports: []string{
			"internal/cli", "database/postgres", "database/sqlite", "database/mysql",
		},
		linksAll: true,
	},
	{pkg: "internal/testdb", outside: []string{"github.com/jackc/pgx/v5", "github.com/go-sql-driver/mysql"}, forTests: true},
	{pkg: "internal/fence", forTests: true},
	{pkg: "internal/faults", forTests: true},
	{pkg: "internal/hostile", forTests: true},
	// What users write.
	{pkg: "examples/...", imports: []string{".", "source", "database/...", "migration", "sqltext"}, linksAll: true},
	{pkg: "bench/...", imports: []string{".", "source", "database/...", "migration", "sqltext"}, linksAll: true},
}

// What only the packages that name it above link, by whatever way.
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

	kinds = map[string][]string{
		"a database client":       clients,
		"a command-line library":  commandLine,
		"a terminal library":      terminal,
		"a configuration library": configuration,
	}
)

func TestTheArrows(t *testing.T) {
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
				t.Fatalf("package %s is new: say in the table of rules, at its place, what it may import", name)
			}
			for _, broken := range r.broken(packages, p) {
				t.Error(broken)
			}
		})
	}
}

// broken returns a sentence for each arrow that a package's imports break.
func (r *rule) broken(packages map[string]*pkg, p *pkg) []string {
	var sentences []string
	name := relative(p.ImportPath)
	say := func(words ...string) { sentences = append(sentences, strings.Join(words, "")) }

	for _, imported := range p.Imports {
		switch {
		case ours(imported):
			other := relative(imported)
			if !matches(other, append(r.imports, r.pkg)...) {
				say(name, " must not import ", other, ": it may import ", orNothing(r.imports), " of this module")
			}
			if o := ruleFor(other); o != nil && o.forTests && !r.forTests {
				say(name, " must not import ", other, ": that is for tests")
			}
		case imported == "testing" && !r.forTests:
			say(name, " must not import testing outside its tests")
		case outside(packages, imported) && !r.linksAll && !hasPrefix(imported, r.outside):
			say(name, " must not import ", imported, ": it may import ", orNothing(r.outside), " from outside the standard library")
		}
	}

	if r.linksAll {
		return sentences
	}
	for _, dep := range p.Deps {
		if slices.Contains(p.Imports, dep) || !outside(packages, dep) || hasPrefix(dep, r.outside) {
			continue // judged above, or fine
		}
		if len(r.outside) == 0 {
			say(name, " must link the standard library only: ", chain(packages, p.ImportPath, dep))
		}
		for kind, libraries := range kinds {
			if hasPrefix(dep, libraries) && len(r.outside) > 0 {
				say(name, " must not link ", kind, " that isn't its own: ", chain(packages, p.ImportPath, dep))
			}
		}
	}
	return sentences
}

// TestTheFence shows that the fence keeps things in.
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
		p.Deps = reach(packages, p.ImportPath)
	}
	for name, want := range map[string][]string{
		"sqltext":   nil,
		"migration": {"migration must not import database: it may import sqltext, internal/spelling of this module", "migration must not import testing outside its tests", "migration must link the standard library only: migration → database → github.com/jackc/pgx/v5"},
		"database":  {"database must not import github.com/jackc/pgx/v5: it may import nothing from outside the standard library"},
		"database/sqlite": {
			"database/sqlite must not link a database client that isn't its own: database/sqlite → database → github.com/jackc/pgx/v5",
		},
		"database/postgres": {
			"database/postgres must not link a terminal library that isn't its own: database/postgres → database/postgres/internal/x → golang.org/x/term",
		},
		"database/postgres/internal/x": {"database/postgres/internal/x must not import golang.org/x/term: it may import github.com/jackc/pgx/v5 from outside the standard library"},
		".": {
			". must not import database/memdb: it may import lint/..., source, database, migration, sqltext, catalog, metadata of this module",
			". must not import internal/testdb: it may import lint/..., source, database, migration, sqltext, catalog, metadata of this module",
			". must not import internal/testdb: that is for tests",
		},
		"internal/cli/render": {"internal/cli/render must not import testing outside its tests"},
		"cmd/whimbrel":        nil,
	} {
		path := module
		if name != "." {
			path += "/" + name
		}
		if got := ruleFor(name).broken(packages, packages[path]); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
	if ruleFor("sqltext/x") != nil {
		t.Error("a new package has a rule already")
	}
}

// pkg is what the go command says of a package.
type pkg struct {
	ImportPath string
	Standard   bool
	Imports    []string // by its code, not by its tests
	Deps       []string // what it links
	Error      *struct{ Err string }
}

// list returns the module's packages that there are by now and all that they link.
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

// ruleFor returns the rule for a package: the longest that matches.
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

// chain shows by which way one package links another: "a → b → c".
func chain(packages map[string]*pkg, from, to string) string {
	way := map[string]string{from: relative(from)}
	for next := []string{from}; len(next) > 0; next = next[1:] {
		for _, imported := range packages[next[0]].Imports {
			if way[imported] == "" && packages[imported] != nil {
				way[imported] = way[next[0]] + " → " + relative(imported)
				next = append(next, imported)
			}
		}
	}
	return way[to]
}

// reach returns what a package links.
func reach(packages map[string]*pkg, from string) []string {
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
