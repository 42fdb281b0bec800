package adopt

import (
	"context"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// block is what keeps a tool from migrating. Taking it away leaves the tool's table as it was.
type block struct {
	how string // for people
	// trigger adds a trigger that refuses every change of the table. MySQL can't create one in a
	// transaction, so it has none there.
	trigger bool
	// marks returns a change of the table's rows that the tool respects before it runs anything; nil
	// for none.
	marks func(q *querier, t *table) *mark
	// beside returns the other table that the marks change; nil for none.
	beside func(t *table) *table
	// except says why there is no block in a kind of database.
	except map[sqltext.Dialect]string
}

// mark is a change of rows, as statements.
type mark struct{ put, take []string }

// blockName is how the names of our triggers and functions begin.
const blockName = "whimbrel_block_"

// blockMessage is the error of the trigger.
const blockMessage = "whimbrel: this database is migrated by Whimbrel, which has taken over the history of %s. " +
	"Run whimbrel up, or give the history back with whimbrel adopt --reverse"

// hasBlock reports whether our trigger is on the table.
func (t *table) hasBlock() bool { return slices.ContainsFunc(t.triggers, isBlock) }

func isBlock(trigger string) bool { return strings.HasPrefix(trigger, blockName) }

// mayWrite returns an error if writing the table would execute somebody's code, or is not
// permitted.
func (q *querier) mayWrite(f *found) error {
	problem := ""
	if i := slices.IndexFunc(f.table.triggers, func(name string) bool { return !isBlock(name) }); i >= 0 {
		problem = "it has the trigger " + f.table.triggers[i] + ", which a change would execute"
	}
	if !f.table.writable {
		problem = "the role may not change it"
	}
	if problem == "" {
		return nil
	}
	return &TableError{Tool: f.reader.tool, Table: q.name(f.table), Problem: problem}
}

// mayMark returns an error if the other table that the marks change must not be written.
func (q *querier) mayMark(ctx context.Context, f *found) error {
	if f.reader.block == nil || f.reader.block.beside == nil {
		return nil
	}
	name := f.reader.block.beside(f.table)
	other, err := q.sibling(ctx, f.reader.tool, f.table, name)
	if err != nil {
		return err
	}
	if other == nil {
		return &TableError{Tool: f.reader.tool, Table: q.name(name), Problem: "it does not exist"}
	}
	return q.mayWrite(&found{reader: f.reader, table: other})
}

// sibling returns a table beside a tool's table; nil if it does not exist.
func (q *querier) sibling(ctx context.Context, tool Tool, t, name *table) (*table, error) {
	all, err := q.find(ctx, []string{name.name, strings.ToLower(name.name)})
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.schema != t.schema || s.name != name.name {
			continue
		}
		if s.unsafe != "" {
			return nil, &TableError{Tool: tool, Table: q.name(s), Problem: s.unsafe}
		}
		return s, nil
	}
	return nil, nil
}

// put adds the block of a tool to its table.
func (q *querier) putBlock(ctx context.Context, f *found) error {
	b := f.reader.block
	why := "nothing that it respects can do that"
	if b != nil {
		why = b.except[q.dialect]
	}
	if why != "" {
		return &UnsupportedError{Tool: f.reader.tool, What: "block the migrations", Why: why}
	}
	if err := q.mayWrite(f); err != nil {
		return err
	}
	if err := q.mayMark(ctx, f); err != nil {
		return err
	}
	var statements []string
	if b.marks != nil {
		if m := b.marks(q, f.table); m != nil {
			statements = append(statements, m.put...)
		}
	}
	if b.trigger {
		statements = append(statements, q.trigger(f)...)
	}
	return q.exec(ctx, statements...)
}

// takeBlock removes the block from a tool's table.
func (q *querier) takeBlock(ctx context.Context, f *found) error {
	b := f.reader.block
	if b == nil {
		return nil
	}
	if f.table.hasBlock() {
		if err := q.exec(ctx, q.noTrigger(f)...); err != nil {
			return err
		}
	}
	if b.marks == nil {
		return nil
	}
	m := b.marks(q, f.table)
	if m == nil {
		return nil
	}
	return q.exec(ctx, m.take...)
}

// blockOf returns the name of the trigger, or of its function, on a table.
func blockOf(t *table) string {
	return fmt.Sprintf("%s%08x", blockName, crc32.ChecksumIEEE([]byte(t.name)))
}

var sqliteChanges = []string{"INSERT", "UPDATE", "DELETE"}

// trigger returns the statements that create the trigger.
func (q *querier) trigger(f *found) []string {
	name, table, message := blockOf(f.table), q.full(f.table), q.text(fmt.Sprintf(blockMessage, f.reader.tool))
	switch q.dialect {
	case sqltext.PostgreSQL:
		function := q.ident(f.table.schema) + "." + q.ident(name)
		return []string{
			"CREATE FUNCTION " + function + "() RETURNS pg_catalog.trigger LANGUAGE plpgsql SET search_path TO pg_catalog AS $whimbrel$ BEGIN RAISE EXCEPTION '%', " + message + "; END $whimbrel$",
			"CREATE TRIGGER " + q.ident(name) + " BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON " + table + " FOR EACH STATEMENT EXECUTE FUNCTION " + function + "()",
		}
	case sqltext.SQLite:
		var all []string
		for _, change := range sqliteChanges {
			all = append(all, fmt.Sprintf("CREATE TRIGGER main.%s BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, %s); END", q.ident(name+"_"+strings.ToLower(change)), change, q.ident(f.table.name), message))
		}
		return all
	}
	return nil
}

// noTrigger returns the statements that drop the trigger.
func (q *querier) noTrigger(f *found) []string {
	name := blockOf(f.table)
	switch q.dialect {
	case sqltext.PostgreSQL:
		return []string{
			"DROP TRIGGER " + q.ident(name) + " ON " + q.full(f.table),
			"DROP FUNCTION " + q.ident(f.table.schema) + "." + q.ident(name) + "()",
		}
	case sqltext.SQLite:
		var all []string
		for _, change := range sqliteChanges {
			all = append(all, "DROP TRIGGER main."+q.ident(name+"_"+strings.ToLower(change)))
		}
		return all
	}
	return nil
}
