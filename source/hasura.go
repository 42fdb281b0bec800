package source

import (
	"fmt"
	"path"
	"strings"

	"github.com/whimbrel-db/whimbrel/migration"
)

// Hasura: folders VERSION_name that contain up.sql and down.sql, in the folder of one source. Files
// VERSION_name.up.sql beside them, which old releases of Hasura wrote, are read, too.
//
//   - The version is the number that the folder's name begins with; of a date with dashes only the
//     digits count.
//   - A script whose first line is exactly "-- hasura:no-transaction" runs outside a transaction.
//   - A metadata.toml with run_in_transaction = false has the same effect on both scripts.
//   - A down.sql in which Hasura says that it could not generate one is not a down script.
//   - A folder without up.sql is an error, and so is YAML with run_sql in it. Other YAML is
//     Hasura's metadata, and skipped.

const (
	hasuraNoTx   = "-- hasura:no-transaction"
	metadataTOML = "metadata.toml"
	hasuraNoDown = "could not auto-generate a down migration"
)

func isHasuraFile(name string) bool { return name == "up.sql" || name == "down.sql" }

func hasuraShows(f *folder, e *listed) string {
	if !e.IsDir() || f.prismaSeen(e.Name()) != "" { // Prisma's may have a down.sql
		return ""
	}
	return f.hasuraSeen(e.Name())
}

func hasuraFiles(_ *folder, version, name string) []File {
	base := version + "_" + name
	return []File{{Name: base + "/up.sql", Content: unfinished + upText(name)}, {Name: base + "/down.sql", Content: downText(name)}}
}

func (f *folder) hasura() []migration.Migration {
	var halves []half
	for _, e := range f.entries {
		name := e.Name()
		switch {
		case !startsWithDigit(name) || !e.IsDir() && !hasSQLSuffix(name):
		case e.IsDir():
			halves = append(halves, f.hasuraFolder(name)...)
		default:
			halves = f.appendHalf(halves, e)
		}
	}
	for _, h := range halves {
		f.hasuraTransaction(h.file)
	}
	return f.pairs(halves)
}

// hasuraFolder returns the halves that a folder holds.
func (f *folder) hasuraFolder(name string) []half {
	n, rest, err := cutVersion(name)
	if err != nil {
		f.add(f.path(name), "%v", err)
		return nil
	}
	n.name = strings.TrimPrefix(rest, "_")
	var halves []half
	for _, e := range f.subs[name] {
		file := e.file
		switch {
		case isHasuraFile(e.Name()) && e.IsDir():
			f.add(f.path(path.Join(name, e.Name())), "is a folder; a migration has to be a file")
		case file != nil:
			halves = append(halves, half{numbered: n, up: e.Name() == "up.sql", file: file})
		case e.Name() == "up.yaml" || e.Name() == "down.yaml":
			f.hasuraYAML(path.Join(name, e.Name()))
		}
	}
	if len(halves) == 0 {
		f.add(f.path(name), `holds no migration; add an up.sql (with "-- whimbrel: empty" in it if there is nothing to run), or rename the folder so that it doesn't begin with a number`)
	}
	return halves
}

// hasuraYAML reports a file that has SQL among its metadata.
func (f *folder) hasuraYAML(name string) {
	b, err := readText(f.fsys, name, maxMetadata)
	switch {
	case err != nil:
		f.wrap(f.path(name), err)
	case strings.Contains(string(b), "run_sql"):
		f.add(f.path(name), "has SQL in it (run_sql), which can't be read from YAML; move it to the .sql file beside it")
	}
}

// hasuraTransaction applies what Hasura reads about the transaction of a script, in its first line
// and in a file beside it.
func (f *folder) hasuraTransaction(file *file) {
	if file.err != nil {
		return
	}
	dir := path.Dir(file.name)
	no, err := f.noTransaction(dir)
	if err != nil && path.Base(file.name) == "up.sql" { // once is enough
		f.add(f.path(path.Join(dir, metadataTOML)), "%s", cause(err))
	}
	file.whole.NoTransaction = no || file.firstLine == hasuraNoTx
}

// unwrittenDowns are what tools write into a down script that somebody has to complete, or that the
// tool failed to generate, in lower case.
var unwrittenDowns = map[Format]string{
	Hasura: hasuraNoDown,
	Diesel: "this file should undo anything in",
	Sqlx:   "add down migration script here",
}

// hasNoDown reports whether a file without a statement is a down script as the tool created it.
func (f *file) hasNoDown(format Format) bool {
	what := unwrittenDowns[format]
	if what == "" || !f.empty() {
		return false
	}
	text, _, _ := f.whole.Text(migration.KeepInMemory) // it is in memory
	return f.whole.Size == 0 && format == Diesel || strings.Contains(strings.ToLower(text), what)
}

// noTransaction reads run_in_transaction from the metadata.toml of a folder.
func (f *folder) noTransaction(dir string) (bool, error) {
	if !f.listed(dir, metadataTOML) {
		return false, nil
	}
	b, err := readText(f.fsys, path.Join(dir, metadataTOML), maxSide)
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(string(b)) {
		line, _, _ = strings.Cut(line, "#")
		key, value, ok := strings.Cut(line, "=")
		if !ok || strings.TrimSpace(key) != "run_in_transaction" {
			continue
		}
		switch strings.TrimSpace(value) {
		case "false":
			return true, nil
		case "true":
			return false, nil
		}
		return false, fmt.Errorf("run_in_transaction is neither true nor false: %s", strings.TrimSpace(line))
	}
	return false, nil
}
