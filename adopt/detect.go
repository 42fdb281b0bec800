package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Found is what a database has that other tools, or people, have made.
type Found struct {
	// Tables are the history tables of other tools, ordered by schema and name.
	Tables []Table
	// Objects is the number of tables and views, without the tools' tables and Whimbrel's own; Example
	// is the ID of one of them. 0 if the driver can't describe a schema.
	Objects int
	Example string
}

// Table is a history table of another tool.
type Table struct {
	Tool Tool
	// Name is the table's name with its schema, quoted where necessary.
	Name string
	// Newest is the newest applied migration as the tool calls it, and Applied the number of its
	// applied migrations; 0 if the tool records only one version.
	Newest  string
	Applied int
	// Problem is why the history can't be taken over as it is, such as a dirty flag or a view in
	// place of the table; "" if none is known without the files.
	Problem string
	// Adoptable reports that From reads tables of this tool; otherwise only a baseline can be
	// recorded.
	Adoptable bool
	// Component reports that the tool migrates only tables of its own, beside those of the
	// application, as River does: nothing needs to be taken over.
	Component bool
	// Blocked reports that the tool is kept from migrating: the history was taken over with
	// Options.Block.
	Blocked bool
}

// Detect finds the history tables of other tools, and tells whether the database has objects. It
// locks and writes nothing. A database that a driver can't query, or without anything, is an empty
// Found.
func Detect(ctx context.Context, db database.Database) (*Found, error) {
	f, all, err := detectTables(ctx, db)
	switch {
	case unsupported(err):
		return &Found{}, nil
	case err != nil:
		return nil, err
	}
	return f, f.countObjects(ctx, db, all)
}

// DetectTables is Detect without counting objects, for which the whole schema is read.
func DetectTables(ctx context.Context, db database.Database) (*Found, error) {
	f, _, err := detectTables(ctx, db)
	if unsupported(err) {
		return &Found{}, nil
	}
	return f, err
}

func detectTables(ctx context.Context, db database.Database) (*Found, []*found, error) {
	f := &Found{}
	q := outside(db)
	all, err := q.tables(ctx, "", "")
	if err != nil {
		return nil, nil, err
	}
	for _, one := range all {
		t, err := q.describe(ctx, one)
		if err != nil {
			return nil, nil, err
		}
		f.Tables = append(f.Tables, t)
	}
	return f, all, nil
}

// describe reads a tool's table.
func (q *querier) describe(ctx context.Context, f *found) (Table, error) {
	t := Table{Tool: f.reader.tool, Name: q.name(f.table), Problem: f.table.unsafe, Adoptable: f.reader.read != nil, Component: f.reader.component}
	if t.Problem != "" || f.reader.read == nil {
		return t, nil
	}
	h, err := f.reader.read(ctx, q, f.table)
	if err != nil {
		return t, err
	}
	t.Blocked = h.blocked || f.table.hasBlock()
	t.Applied = len(h.records)
	switch {
	case h.upTo != nil:
		t.Newest = fmt.Sprint(*h.upTo)
	case len(h.records) > 0:
		newest := h.records[0]
		for _, r := range h.records[1:] {
			if r.version >= newest.version {
				newest = r
			}
		}
		t.Newest = newest.id
	}
	if len(h.refused) > 0 {
		t.Problem = h.refused[0].Reason
	}
	return t, nil
}

// recorded are the kinds of objects that show that a schema exists. Functions, types and extensions
// are what an administrator prepares for migrations.
var recorded = []catalog.Kind{catalog.Table, catalog.VirtualTable, catalog.ForeignTable, catalog.View, catalog.MaterializedView}

// countObjects counts the objects that are not the tools'.
func (f *Found) countObjects(ctx context.Context, db database.Database, all []*found) error {
	now, err := database.Snapshot(ctx, db, catalog.Options{})
	if unsupported(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := range now.Objects {
		o := &now.Objects[i]
		if !slices.Contains(recorded, o.Kind) || slices.ContainsFunc(all, func(t *found) bool { return t.owns(o) }) {
			continue
		}
		if f.Objects++; f.Example == "" {
			f.Example = o.ID()
		}
	}
	return nil
}

// found is a table that a reader recognises.
type found struct {
	reader *reader
	table  *table
}

// ownSchemas are the schemas that tools create for themselves.
var ownSchemas = []string{"sqitch", "drizzle", "hdb_catalog", "atlas_schema_revisions", "godwit"}

// owns reports whether an object of a snapshot is the tool's: its history table, the tables beside
// it, what belongs to these, and a schema that only the tool uses.
func (f *found) owns(o *catalog.Object) bool {
	if slices.Contains(ownSchemas, f.table.schema) {
		return o.Schema == f.table.schema || o.Kind == catalog.Schema && o.Name == f.table.schema
	}
	if o.Schema != "" && f.table.schema != "" && o.Schema != f.table.schema {
		return false
	}
	if isBlock(o.Name) || isBlock(o.Of) || f.reader.prefix != "" && strings.HasPrefix(o.Name, f.reader.prefix) {
		return true
	}
	names := append([]string{f.table.name, f.table.name + "lock"}, f.reader.beside...) // Liquibase has DATABASECHANGELOGLOCK
	return slices.ContainsFunc(names, func(name string) bool {
		return strings.EqualFold(o.Name, name) || strings.EqualFold(o.Of, name)
	})
}

// tables returns the tables that readers recognise: those of a tool, if one is given, and only the
// one with a name, if one is given.
func (q *querier) tables(ctx context.Context, tool Tool, table string) ([]*found, error) {
	var names []string
	candidates := readers
	if tool != "" {
		candidates = slices.DeleteFunc(slices.Clone(readers), func(r *reader) bool { return r.tool != tool })
	}
	for _, c := range candidates {
		names = append(names, c.tables...)
	}
	schema := ""
	if table != "" {
		name := table
		if q.dialect == sqltext.PostgreSQL {
			if s, n, ok := strings.Cut(name, "."); ok {
				schema, name = s, n
			}
		} else {
			name = strings.ToLower(name)
		}
		names = []string{name}
	}
	beside, err := q.find(ctx, append(names, companions...))
	if err != nil {
		return nil, err
	}
	var all []*found
	for _, t := range beside {
		if schema != "" && t.schema != schema || !slices.Contains(names, t.name) && !slices.Contains(names, strings.ToLower(t.name)) {
			continue
		}
		for _, c := range candidates {
			if q.reads(c, t, beside, table != "") {
				all = append(all, &found{reader: c, table: t})
			}
		}
	}
	return all, nil
}

// reads reports whether a table is one of a reader.
func (q *querier) reads(r *reader, t *table, beside []*table, named bool) bool {
	if len(r.dialects) > 0 && !slices.Contains(r.dialects, q.dialect) {
		return false
	}
	if !named && !slices.Contains(r.tables, strings.ToLower(t.name)) {
		return false
	}
	if t.unsafe != "" && len(t.columns) == 0 {
		return true // such as a view of SQLite, whose columns are not asked for
	}
	return (r.anyColumns || t.has(r.columns, r.optional)) && (r.is == nil || r.is(t, beside))
}

// choose returns the table whose history is taken over.
func (q *querier) choose(ctx context.Context, tool Tool, table string) (*found, error) {
	if tool != "" && readerOf(tool) == nil {
		return nil, &UnsupportedError{Tool: tool, What: "take over the history", Why: "Whimbrel does not know this tool"}
	}
	all, err := q.tables(ctx, tool, table)
	if err != nil {
		return nil, err
	}
	if tool == "" && table == "" {
		all = slices.DeleteFunc(all, func(f *found) bool { return f.reader.component })
	}
	switch len(all) {
	case 0:
		return nil, &NotFoundError{Tool: tool, Table: table}
	case 1:
	default:
		e := &AmbiguousError{}
		for _, f := range all {
			e.Tables = append(e.Tables, Table{Tool: f.reader.tool, Name: q.name(f.table), Problem: f.table.unsafe, Adoptable: f.reader.read != nil})
		}
		return nil, e
	}
	f := all[0]
	if f.table.unsafe != "" {
		return nil, &TableError{Tool: f.reader.tool, Table: q.name(f.table), Problem: f.table.unsafe}
	}
	if f.reader.read == nil {
		return nil, &UnsupportedError{Tool: f.reader.tool, What: "take over the history", Why: f.reader.why}
	}
	return f, nil
}

// lockPoll is how often the other tool's lock is tried.
const lockPoll = 100 * time.Millisecond

// lock takes the tool's own lock, and locks its table against changes until the transaction ends.
// It returns the table as it is then.
func (q *querier) lock(ctx context.Context, f *found, timeout time.Duration) (*found, error) {
	if f.reader.lock != nil {
		if err := q.toolLock(ctx, f, timeout); err != nil {
			return nil, err
		}
	}
	if q.dialect != sqltext.PostgreSQL || !f.table.writable {
		return f, nil // SQLite has one writer, and MySQL locks the rows as they are read
	}
	if err := q.exec(ctx, "LOCK TABLE "+q.full(f.table)+" IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return nil, err
	}
	again, err := q.choose(ctx, f.reader.tool, f.table.schema+"."+f.table.name)
	if err == nil && again.table.id != f.table.id {
		err = &TableError{Tool: f.reader.tool, Table: q.name(f.table), Problem: "it was replaced meanwhile"}
	}
	return again, err
}

// toolLock tries the tool's lock until it gets it or the time is over.
func (q *querier) toolLock(ctx context.Context, f *found, timeout time.Duration) error {
	l, err := f.reader.lock(ctx, q, f.table)
	if err != nil || l == nil {
		return err
	}
	if timeout == 0 {
		timeout = database.DefaultMigrationLockTimeout
	}
	for end := time.Now().Add(timeout); ; {
		got, err := q.one(ctx, l.try)
		if err != nil {
			return err
		}
		if ok, known := asBool(got); ok || !known {
			return nil
		}
		if time.Now().After(end) {
			return &LockedError{Tool: f.reader.tool, Lock: l.what}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}

// running replaces a refusal because of a migration that stopped part-way, if the tool holds its
// lock: then it has not stopped.
func (q *querier) running(ctx context.Context, f *found, err error) error {
	var refused *RefusedError
	if !errors.As(err, &refused) || f.reader.lock == nil {
		return err
	}
	unfinished := slices.ContainsFunc(refused.Refused, func(r Refused) bool { return r.Why == Dirty || r.Why == Failed })
	if !unfinished {
		return err
	}
	l, lerr := f.reader.lock(ctx, q, f.table)
	if lerr != nil || l == nil {
		return errors.Join(err, lerr)
	}
	got, lerr := q.one(ctx, l.free)
	if free, known := asBool(got); lerr == nil && known && !free {
		return &LockedError{Tool: f.reader.tool, Lock: l.what}
	}
	return err
}
