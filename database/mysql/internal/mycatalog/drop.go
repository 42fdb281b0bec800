package mycatalog

import (
	"context"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// BeforeDrop is the statement that the session needs before those of DropAll: with foreign keys, no
// order of tables may work.
const BeforeDrop = "SET SESSION foreign_key_checks = 0"

// Drop is an object that a reset drops, with its statement. The statement succeeds if the object no
// longer exists, so that an interrupted reset can be repeated.
type Drop struct {
	database.Object
	SQL string
}

// droppable lists the objects of the current database: rank, type, name, table, and the database.
const droppable = `SELECT 1, 'event', event_name, '', database() FROM information_schema.events WHERE event_schema = database()
UNION ALL SELECT 2, 'trigger', trigger_name, event_object_table, database() FROM information_schema.triggers WHERE trigger_schema = database()
UNION ALL SELECT CASE table_type WHEN 'VIEW' THEN 3 WHEN 'SEQUENCE' THEN 7 ELSE 4 END, CASE table_type WHEN 'VIEW' THEN 'view' WHEN 'SEQUENCE' THEN 'sequence' ELSE 'table' END, table_name, table_name, database()
	FROM information_schema.tables WHERE table_schema = database() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW', 'SEQUENCE')
UNION ALL SELECT CASE routine_type WHEN 'PACKAGE' THEN 5 ELSE 6 END, lower(routine_type), routine_name, '', database() FROM information_schema.routines
	WHERE routine_schema = database() AND routine_type <> 'PACKAGE BODY'`

// DropAll lists the objects of the current database, except the tables in own, in an order in which
// they can be dropped: events, which could run meanwhile; the triggers of the tables in own (others
// are dropped with their tables); views, tables, packages, functions and procedures, sequences. It
// drops nothing.
func DropAll(ctx context.Context, q Queryer, own []string) ([]Drop, error) {
	type entry struct{ rank, kind, name, database string }
	var all []entry
	r := &reader{q: q, own: lowered(own)}
	seen := map[entry]bool{} // a trigger for several events is listed several times
	err := r.eachText(ctx, droppable, func(v []string) {
		rank, kind, name, ours := v[0], v[1], v[2], r.own[strings.ToLower(v[3])]
		e := entry{rank, kind, name, v[4]}
		if kind == "trigger" && !ours || kind == "table" && ours || seen[e] {
			return
		}
		seen[e] = true
		all = append(all, e)
	})
	if err != nil {
		return nil, err
	}
	order.By(all, func(a, b entry) int {
		return strings.Compare(a.rank+a.kind+"\x00"+a.name, b.rank+b.kind+"\x00"+b.name)
	})
	drops := make([]Drop, len(all))
	for i, e := range all {
		// with the database's name, the server doesn't mistake it for a built-in function
		sql := "DROP " + strings.ToUpper(e.kind) + " IF EXISTS " + quote(e.database) + "." + quote(e.name)
		if e.kind == "package" { // which MariaDB only reads as Oracle would
			sql = "SET STATEMENT sql_mode = 'ORACLE' FOR EXECUTE IMMEDIATE " + literal(sql)
		}
		drops[i] = Drop{database.Object{Type: e.kind, Name: quoteIfNeeded(e.name)}, sql}
	}
	return drops, nil
}

// Uses lists the foreign keys in other databases that refer to tables of the current one, except
// those in own.
func Uses(ctx context.Context, q Queryer, own []string) ([]database.Use, error) {
	var uses []database.Use
	r := &reader{q: q, own: lowered(own)}
	err := r.eachText(ctx, `SELECT constraint_schema, table_name, constraint_name, referenced_table_name FROM information_schema.referential_constraints
WHERE unique_constraint_schema = database() AND constraint_schema <> database() ORDER BY 1, 2, 3`, func(v []string) {
		if r.own[strings.ToLower(v[3])] {
			return
		}
		uses = append(uses, database.Use{
			By: database.Object{Type: "foreign key " + quoteIfNeeded(v[2]) + " of table", Schema: quoteIfNeeded(v[0]), Name: quoteIfNeeded(v[1])},
			Of: database.Object{Type: "table", Name: quoteIfNeeded(v[3])},
		})
	})
	return uses, err
}

func lowered(names []string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[strings.ToLower(name)] = true
	}
	return set
}

// quoteIfNeeded quotes names that need it.
func quoteIfNeeded(name string) string {
	if t := sqltext.List(name, sqltext.MySQL).At(0); t.Kind != sqltext.TokenWord || t.Text != name {
		return quote(name)
	}
	return name
}
