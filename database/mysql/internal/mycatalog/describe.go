package mycatalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// described lists the objects that metadata can describe in the current database: kind, name,
// column, comment.
const described = `SELECT CASE table_type WHEN 'VIEW' THEN 'view' ELSE 'table' END, table_name, '', CASE table_type WHEN 'VIEW' THEN '' ELSE table_comment END
	FROM information_schema.tables WHERE table_schema = database() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')
UNION ALL SELECT CASE t.table_type WHEN 'VIEW' THEN 'view column' ELSE 'column' END, c.table_name, c.column_name, CASE t.table_type WHEN 'VIEW' THEN '' ELSE c.column_comment END
	FROM information_schema.columns c JOIN information_schema.tables t ON t.table_schema = c.table_schema AND t.table_name = c.table_name
	WHERE coalesce(c.generation_expression, '') NOT IN ('ROW START', 'ROW END') AND c.table_schema = database() AND t.table_schema = database() AND t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW')
UNION ALL SELECT lower(routine_type), routine_name, '', '' FROM information_schema.routines WHERE routine_schema = database() AND routine_type IN ('FUNCTION', 'PROCEDURE')`

// arguments lists the arguments of routines: kind, name, type.
const arguments = `SELECT lower(routine_type), specific_name, dtd_identifier FROM information_schema.parameters
	WHERE specific_schema = database() AND ordinal_position > 0 ORDER BY ordinal_position`

// Objects lists the objects that metadata can describe, except the tables in own, with the comments
// of tables and columns. Objects have no IDs. Objects omits the columns of system versioning, which
// can't be altered.
func Objects(ctx context.Context, q Queryer, own []string) ([]metadata.Object, error) {
	var all []metadata.Object
	r := &reader{q: q, own: lowered(own)}
	args := map[[2]string][]string{} // by kind and name
	err := r.eachText(ctx, arguments, func(v []string) {
		key := [2]string{v[0], v[1]}
		args[key] = append(args[key], v[2])
	})
	if err != nil {
		return nil, err
	}
	err = r.eachText(ctx, described, func(v []string) {
		n := metadata.Name{Kind: metadata.Kind(v[0]), Object: v[1], Column: v[2]}
		switch {
		case v[0] == "function" || v[0] == "procedure":
			n.Kind, n.Args = metadata.Function, "("+strings.Join(args[[2]string{v[0], v[1]}], ", ")+")"
		case commented(n.Kind) && r.own[strings.ToLower(n.Object)]:
			return
		}
		all = append(all, metadata.Object{Name: n, Comment: v[3]})
	})
	return all, err
}

// commented reports whether descriptions of objects of the kind become comments. Views have none in
// MySQL.
func commented(k metadata.Kind) bool { return k == metadata.Table || k == metadata.Column }

// WithoutComments sets the comments of objects that can't have any to their entries' descriptions.
// So nothing changes them, and a reload keeps them.
func WithoutComments(s *metadata.State) {
	descriptions := map[metadata.Name]string{}
	for _, e := range s.Entries {
		descriptions[e.Name] = e.Description
	}
	for i := range s.Objects {
		if o := &s.Objects[i]; !commented(o.Name.Kind) {
			o.Comment = descriptions[o.Name]
		}
	}
}

// CommentStatements returns statements that set the comments of tables and columns: one that
// prepares the session, whose settings the caller restores, and one for each table. It ignores
// other comments. A column's comment is part of its definition, so the statement repeats the
// column's current definition with the new comment: no other session may change the table in
// between. Each statement commits by itself. The server refuses comments of more than 2048
// characters for a table and 1024 for a column.
func CommentStatements(ctx context.Context, q Queryer, comments []metadata.Comment) ([]string, error) {
	tables := map[string]bool{}
	for _, c := range comments {
		tables[c.Name.Object] = tables[c.Name.Object] || c.Name.Kind == metadata.Column
	}
	columns, versioned, err := columnTexts(ctx, q, tables)
	if err != nil {
		return nil, err
	}
	changes := map[string][]string{} // of each table
	for _, c := range comments {
		name := c.Name.Object
		switch c.Name.Kind {
		case metadata.Table:
			changes[name] = append(changes[name], "COMMENT = "+literal(c.Text))
		case metadata.Column:
			text := columns[name+"\x00"+c.Name.Column]
			if text == "" {
				return nil, fmt.Errorf("the comment of column %s: the column is not there any more", c.Name)
			}
			changes[name] = append(changes[name], "MODIFY COLUMN "+withComment(text, c.Text))
		}
	}
	if len(changes) == 0 {
		return nil, nil
	}
	statements := []string{"SET SESSION time_zone = " + literal(utc) + ", SESSION sql_mode = " + literal(tolerant)}
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		keep := ""
		if versioned[name] {
			keep = "SET STATEMENT system_versioning_alter_history = 'KEEP' FOR "
		}
		statements = append(statements, keep+"ALTER TABLE "+quote(name)+" "+strings.Join(changes[name], ", "))
	}
	return statements, nil
}

// columnTexts returns the definitions of the columns of some tables, by table and column name with
// a zero byte between them, and which tables are system-versioned.
func columnTexts(ctx context.Context, q Queryer, tables map[string]bool) (columns map[string]string, versioned map[string]bool, err error) {
	r, end, err := begin(ctx, q, nil)
	if err != nil {
		return nil, nil, err
	}
	defer end()
	r.only = tables
	for _, step := range []func(context.Context) error{r.listTables, r.showAll, r.clearDefaults} {
		if err := step(ctx); err != nil {
			return nil, nil, err
		}
	}
	columns, versioned = map[string]string{}, map[string]bool{}
	for _, t := range r.tables {
		versioned[t.name] = t.definition.options.Index("WITH", "SYSTEM", "VERSIONING") >= 0
		for _, it := range t.definition.items {
			if isName(it.toks, 0) {
				o := catalog.Object{}
				columns[t.name+"\x00"+it.toks[0].Name()] = column(&o, it, t).text
			}
		}
	}
	return columns, versioned, nil
}

// withComment returns a column's definition with another comment, which must precede a CHECK.
func withComment(text, comment string) string {
	list := sqltext.List(text, sqltext.MySQL)
	at := len(text)
	for i := 0; i < len(list); i++ {
		switch {
		case list[i].Is("("):
			i = list.Closing(i) - 1
		case list.Is(i, "COMMENT") && i+1 < len(list):
			return text[:list[i].Pos] + "COMMENT " + literal(comment) + text[list[i+1].End():]
		case list.Is(i, "CHECK"):
			at = list[i].Pos
		}
	}
	return strings.TrimSpace(text[:at]) + " COMMENT " + literal(comment) + strings.TrimSuffix(" "+text[at:], " ")
}
