package backfill

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// RiverSet is the name of the set of River's own tables.
const RiverSet = "river"

// River returns the migrations of River's own tables as a set with the name RiverSet. They are the
// texts of River's migrator, and have its versions. Each also writes the row that River's migrator
// would write into river_migration, so that River's own tools agree about what is applied.
//
// schema is the schema of the tables on PostgreSQL, "" for the first one in the search path. A
// database of another kind than PostgreSQL and SQLite is an *UnsupportedError.
//
// The checksums ignore comments and white space, which a release of River may change.
// [MigrateRiver] applies the set, and uses tables that exist already.
func River(d sqltext.Dialect, schema string) (*migration.Set, error) {
	all, err := riverMigrations(d)
	if err != nil {
		return nil, err
	}
	prefix, err := riverPrefix(d, schema)
	if err != nil {
		return nil, err
	}
	migrations := make([]migration.Migration, 0, len(all))
	for _, m := range all {
		name := strings.ReplaceAll(m.Name, " ", "_")
		script := func(way, text, row string) *migration.Script {
			text = strings.ReplaceAll(strings.TrimSpace(text), riverSchema, prefix)
			if !strings.HasSuffix(text, ";") {
				text += ";"
			}
			if row != "" {
				text += "\n\n-- The row of River's migrator.\n" + row
			}
			s := migration.Text(fmt.Sprintf("river/%03d_%s.%s.sql", m.Version, name, way), text+"\n")
			s.Checksum = migration.Sum(compact(text, d))
			return s
		}
		removal := ""
		if m.Version > 1 { // the down script of the first one drops the table
			removal = riverDelete(prefix, m.Version)
		}
		migrations = append(migrations, migration.Migration{
			Version: int64(m.Version), Name: name,
			Up: script("up", m.SQLUp, riverInsert(prefix, m.Version)), Down: script("down", m.SQLDown, removal),
		})
	}
	return migration.NewSet(RiverSet, migrations...)
}

// riverMigrations returns the migrations of River's main line.
func riverMigrations(d sqltext.Dialect) ([]rivermigrate.Migration, error) {
	config := &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)}
	switch d {
	case sqltext.PostgreSQL:
		m, err := rivermigrate.New(riverpgxv5.New(nil), config)
		if err != nil {
			return nil, err
		}
		return m.AllVersions(), nil
	case sqltext.SQLite:
		m, err := rivermigrate.New(riversqlite.New(nil), config)
		if err != nil {
			return nil, err
		}
		return m.AllVersions(), nil
	}
	return nil, &UnsupportedError{Dialect: d}
}

// UnsupportedError reports a database that River can't work in. Its backfills are executed inline.
type UnsupportedError struct{ Dialect sqltext.Dialect }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("no job queue is available in a %s database: River supports PostgreSQL and SQLite", e.Dialect)
}

// Unwrap returns errors.ErrUnsupported.
func (e *UnsupportedError) Unwrap() error { return errors.ErrUnsupported }

// schemaName are the names that River's client accepts. None of their characters has a meaning in a
// string or in a quoted name.
var schemaName = lazyregexp.New(`^[a-zA-Z_][a-zA-Z0-9_]{0,45}$`)

// riverPrefix returns what precedes the names of River's tables.
func riverPrefix(d sqltext.Dialect, schema string) (string, error) {
	switch {
	case schema == "":
		return "", nil
	case d != sqltext.PostgreSQL:
		return "", fmt.Errorf("can't have River's tables in the schema %q: a SQLite database has no schemas", schema)
	case !schemaName.MatchString(schema):
		return "", fmt.Errorf("can't have River's tables in the schema %q: River accepts letters, digits and underscores, 46 at most", schema)
	}
	return `"` + schema + `".`, nil
}

// riverLines is the version of River's migration that adds the column line to river_migration.
const riverLines = 5

func riverInsert(prefix string, version int) string {
	if version < riverLines {
		return fmt.Sprintf("INSERT INTO %sriver_migration (version) VALUES (%d);", prefix, version)
	}
	return fmt.Sprintf("INSERT INTO %sriver_migration (line, version) VALUES ('main', %d);", prefix, version)
}

func riverDelete(prefix string, version int) string {
	if version <= riverLines {
		return fmt.Sprintf("DELETE FROM %sriver_migration WHERE version = %d;", prefix, version)
	}
	return fmt.Sprintf("DELETE FROM %sriver_migration WHERE line = 'main' AND version = %d;", prefix, version)
}

// riverSchema is where a text of River's names the schema.
const riverSchema = "/* TEMPLATE: schema */"

// compact replaces comments and white space by single spaces.
func compact(text string, d sqltext.Dialect) string {
	var b strings.Builder
	end := 0
	for t := range sqltext.Tokens(text, d) {
		if t.Pos > end && end > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(t.Text)
		end = t.End()
	}
	return b.String()
}

// RiverProblem says why River's tables in a database can't be used.
type RiverProblem int

// The problems.
const (
	// RiverNewer: a newer River than this program's created or changed the tables.
	RiverNewer RiverProblem = iota + 1
	// RiverUnversioned: another tool created the tables, without river_migration.
	RiverUnversioned
	// RiverGap: river_migration lacks a version below its newest one.
	RiverGap
	// RiverRolledBack: Whimbrel has applied versions that river_migration does not have.
	RiverRolledBack
	// RiverNoSchema: the schema does not exist.
	RiverNoSchema
	// RiverMissing and RiverOlder: River's tables do not exist, or lack migrations, and the call
	// must not change that.
	RiverMissing
	RiverOlder
)

// RiverError reports River tables that this program can't use. Nothing has changed.
type RiverError struct {
	Problem RiverProblem
	Schema  string // as the options name it
	// Version is the newest version in river_migration, 0 for none. Newest is the newest one that
	// this program has. Missing are the versions that are not in river_migration.
	Version, Newest int64
	Missing         []int64
	Library         string // the version of River in this program
}

func (e *RiverError) Error() string {
	where := ""
	if e.Schema != "" {
		where = fmt.Sprintf(" in the schema %q", e.Schema)
	}
	switch e.Problem {
	case RiverNewer:
		return fmt.Sprintf("River's tables%s have version %d, and River %s in this program knows versions up to %d", where, e.Version, e.Library, e.Newest)
	case RiverUnversioned:
		return fmt.Sprintf("River's tables%s exist, but river_migration, which says what version they have, does not", where)
	case RiverGap:
		return fmt.Sprintf("River's tables%s have version %d, but river_migration lacks %s", where, e.Version, versionList(e.Missing))
	case RiverRolledBack:
		return fmt.Sprintf("the history has %s of the set %q as applied, but river_migration%s lacks it: another tool has rolled it back", versionList(e.Missing), RiverSet, where)
	case RiverNoSchema:
		return fmt.Sprintf("the schema %q for River's tables does not exist", e.Schema)
	case RiverMissing:
		return fmt.Sprintf("River's tables%s do not exist", where)
	case RiverOlder:
		return fmt.Sprintf("River's tables%s have version %d, and River %s in this program needs version %d", where, e.Version, e.Library, e.Newest)
	}
	return "River's tables" + where + " can't be used"
}

func versionList(versions []int64) string {
	texts := make([]string, len(versions))
	for i, v := range versions {
		texts[i] = fmt.Sprint(v)
	}
	if len(texts) == 1 {
		return "version " + texts[0]
	}
	return "versions " + strings.Join(texts, ", ")
}

// RiverOptions are the options of MigrateRiver. The zero value is useful.
type RiverOptions struct {
	// Schema is the schema of River's tables on PostgreSQL. "" is the first one in the search path.
	Schema string
	// Migrator are the options of the Migrator that applies the set.
	Migrator whimbrel.Options
}

// MigrateRiver creates River's tables or brings them up to date. Any number of processes may call
// it at once. If nothing is pending, it changes nothing and needs no right to.
//
// If River's own migrator has created the tables, their versions are read from river_migration and
// recorded as applied, and only those that are missing run. Tables that do not fit are a
// *[RiverError].
func MigrateRiver(ctx context.Context, db database.Database, opts RiverOptions) (*whimbrel.Result, error) {
	set, err := River(db.Dialect(), opts.Schema)
	if err != nil {
		return nil, err
	}
	m := whimbrel.New(db, set, opts.Migrator)
	for {
		again, done, err := adoptRiver(ctx, m, set, opts.Schema)
		switch {
		case err != nil:
			return nil, err
		case done:
			return &whimbrel.Result{Set: RiverSet}, nil
		case !again:
			return m.Up(ctx)
		}
	}
}

// adoptRiver compares the history with river_migration, and records what only the latter has. done
// reports that both have all versions, from whatever files. again reports that another process has
// changed the history meanwhile.
func adoptRiver(ctx context.Context, m *whimbrel.Migrator, set *migration.Set, schema string) (again, done bool, err error) {
	// The history is read first: whoever applies a version of the set writes both together, so a
	// version that is only in the history was removed by another tool.
	st, err := m.Database().State(ctx, RiverSet)
	if err != nil {
		return false, false, err
	}
	has, found, err := riverVersions(ctx, m.Database(), schema)
	if err != nil {
		return false, false, err
	}
	foreign, err := unrecorded(st.Applied.Versions(), has, found, set, schema)
	if err != nil || len(foreign) == 0 {
		return false, st.Applied.Len() == set.Len(), err
	}
	err = m.Mark(ctx, "River's own migrator has applied it", foreign...)
	var already *whimbrel.AlreadyAppliedError
	if errors.As(err, &already) {
		return true, false, nil
	}
	return false, false, err
}

// unrecorded returns the versions that only river_migration has. found says whether River's tables
// exist.
func unrecorded(applied, has []int64, found bool, set *migration.Set, schema string) ([]int64, error) {
	newest, _ := set.Last()
	problem := &RiverError{Schema: schema, Newest: newest, Library: riverVersion()}
	if len(has) > 0 {
		problem.Version = slices.Max(has)
	}
	for _, v := range applied {
		if !slices.Contains(has, v) {
			problem.Missing = append(problem.Missing, v)
		}
	}
	gap := []int64{}
	for v := int64(1); v < problem.Version; v++ {
		if !slices.Contains(has, v) {
			gap = append(gap, v)
		}
	}
	switch {
	case problem.Version > newest:
		problem.Problem = RiverNewer
	case len(has) == 0 && found && len(applied) == 0:
		problem.Problem = RiverUnversioned
	case len(problem.Missing) > 0:
		problem.Problem = RiverRolledBack
	case len(gap) > 0:
		problem.Problem, problem.Missing = RiverGap, gap
	default:
		return slices.DeleteFunc(has, func(v int64) bool { return slices.Contains(applied, v) }), nil
	}
	return nil, problem
}

// riverVersions reads the versions of River's main line that a database has, and whether it has
// River's tables at all.
func riverVersions(ctx context.Context, db database.Database, schema string) (versions []int64, found bool, err error) {
	prefix, err := riverPrefix(db.Dialect(), schema)
	if err != nil {
		return nil, false, err
	}
	rows, err := database.ReadQuery(ctx, db, riverShape(db.Dialect(), schema))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil // a SQLite file that the first migration creates
	} else if err != nil {
		return nil, false, err
	}
	shape := rows.Rows[0]
	if !truth(shape[0]) {
		return nil, false, &RiverError{Problem: RiverNoSchema, Schema: schema}
	}
	jobs, versioned, lines := truth(shape[1]), truth(shape[2]), truth(shape[3])
	if !versioned {
		return nil, jobs, nil
	}
	query := "SELECT version FROM " + prefix + "river_migration"
	if lines {
		query += " WHERE line = 'main'"
	}
	rows, err = database.ReadQuery(ctx, db, query+" ORDER BY version")
	if err != nil {
		return nil, false, err
	}
	for _, r := range rows.Rows {
		v, ok := r[0].(int64)
		if !ok {
			return nil, false, fmt.Errorf("river_migration has the version %v, which is not a number", r[0])
		}
		versions = append(versions, v)
	}
	return versions, true, nil
}

// riverShape is a query of one row: whether the schema, river_job, river_migration and its column
// line exist.
func riverShape(d sqltext.Dialect, schema string) string {
	if d == sqltext.SQLite {
		return `SELECT 1,
	EXISTS (SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'river_job'),
	EXISTS (SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'river_migration'),
	EXISTS (SELECT 1 FROM pragma_table_info('river_migration') WHERE name = 'line')`
	}
	exists, prefix := "true", ""
	if schema != "" {
		exists, prefix = `pg_catalog.to_regnamespace('"`+schema+`"') IS NOT NULL`, `"`+schema+`".`
	}
	class := func(table string) string { return "pg_catalog.to_regclass('" + prefix + table + "')" }
	return "SELECT " + exists + ", " + class("river_job") + " IS NOT NULL, " + class("river_migration") + ` IS NOT NULL, EXISTS (
	SELECT 1 FROM pg_catalog.pg_attribute a
	WHERE a.attrelid OPERATOR(pg_catalog.=) ` + class("river_migration") + `::pg_catalog.oid
		AND a.attname OPERATOR(pg_catalog.=) 'line'::pg_catalog.name AND NOT a.attisdropped)`
}

func truth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case int64:
		return v != 0
	}
	return false
}

// riverVersion returns the version of River in this program, "" if it is not known.
func riverVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/riverqueue/river" {
			if m.Replace != nil {
				m = m.Replace
			}
			return m.Version
		}
	}
	return ""
}

// checkRiver returns a *RiverError if River's tables are not those that this program needs.
func checkRiver(ctx context.Context, db database.Database, schema string) error {
	set, err := River(db.Dialect(), schema)
	if err != nil {
		return err
	}
	has, found, err := riverVersions(ctx, db, schema)
	if err != nil {
		return err
	}
	newest, _ := set.Last()
	problem := &RiverError{Schema: schema, Newest: newest, Library: riverVersion()}
	if len(has) > 0 {
		problem.Version = slices.Max(has)
	}
	switch {
	case problem.Version == newest:
		return nil
	case problem.Version > newest:
		problem.Problem = RiverNewer
	case !found:
		problem.Problem = RiverMissing
	case len(has) == 0:
		problem.Problem = RiverUnversioned
	default:
		problem.Problem = RiverOlder
	}
	return problem
}
