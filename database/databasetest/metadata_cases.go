package databasetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var metadataCases = []testCase{
	{"metadata of an untouched target", metadataNone, metadataUntouched},
	{"metadata that is kept", metadataPut, metadataKept},
	{"the objects that can be described", metadataReads, metadataObjects},
	{"comments", metadataPut, metadataComments},
	{"metadata in a transaction", metadataTx, metadataInTx},
	{"one transaction writes metadata", metadataAlone, metadataOneAtATime},
	{"a query's rows", queryPasses, queryRows},
	{"a query only reads", queryReads, queryOnlyReads},
	{"a query in a transaction", txQuery, queryInTx},
	{"a query that fails", queryError, queryFails},
	{"a query and its session", querySess, querySession},
}

// facts are Facts in which every field is set.
var facts = metadata.Facts{
	Description: "It's \"what\"\nthere is; -- really? $1 \\ ☃", Owner: "o'brien", Tags: []string{"pii", "a, b"},
	Links: []metadata.Link{{Name: "wiki", URL: "https://example.org/?a=b&c"}},
	Keys:  map[string]any{"a": nil, "b": []any{true, "x"}},
}

func (c *check) metadata(db database.Database) *metadata.State {
	c.Helper()
	s, err := database.ReadMetadata(c.ctx, db)
	c.ok(err, "Metadata")
	return s
}

// object returns a table, or a column of one.
func (c *check) object(s *metadata.State, table, column string) metadata.Object {
	c.Helper()
	i := slices.IndexFunc(s.Objects, func(o metadata.Object) bool {
		return o.Name.Object == table && o.Name.Column == column && (o.Name.Kind == metadata.Table) == (column == "")
	})
	c.that(i >= 0, "the objects have no %q %q", table, column)
	return s.Objects[i]
}

func about(o metadata.Object, f metadata.Facts) metadata.Stored {
	return metadata.Stored{Name: o.Name, ID: o.ID, Facts: f}
}

// hasEntries fails the case unless these are the entries.
func (c *check) hasEntries(s *metadata.State, want ...metadata.Stored) {
	c.Helper()
	c.that(len(s.Entries) == len(want), "there are %d entries, want %d", len(s.Entries), len(want))
	for _, w := range want {
		encoded, err := metadata.EncodeFacts(w.Facts)
		c.ok(err, "EncodeFacts")
		c.that(slices.ContainsFunc(s.Entries, func(e metadata.Stored) bool {
			got, _ := metadata.EncodeFacts(e.Facts)
			return e.Name == w.Name && e.ID == w.ID && got == encoded
		}), "the entry %v with %s is missing; the entries are %+v", w.Name, encoded, s.Entries)
	}
}

func metadataUntouched(c *check) {
	db := c.db()
	c.hasEntries(c.metadata(db))
	c.promised(metadataReads)
	c.that(len(c.ownTables()) == 0, "reading created %q", c.ownTables())
}

func metadataKept(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "CREATE TABLE t (x int); CREATE TABLE u (x int)")
	s := c.metadata(db)
	first := []metadata.Stored{about(c.object(s, "t", ""), facts), about(c.object(s, "t", "x"), metadata.Facts{Owner: "me"})}
	c.putMetadata(db, &metadata.Change{Entries: first})
	c.hasEntries(c.metadata(c.db()), first...)
	second := about(c.object(s, "u", ""), metadata.Facts{Tags: []string{"a"}})
	c.putMetadata(db, &metadata.Change{Entries: []metadata.Stored{second}})
	c.hasEntries(c.metadata(c.db()), second)
	c.putMetadata(db, &metadata.Change{})
	c.hasEntries(c.metadata(c.db()))
	c.promised(metadataReads)
	c.hasTables("t", "u")
}

func (c *check) putMetadata(db database.Database, change *metadata.Change) {
	c.Helper()
	tx := c.begin(db, "s")
	c.ok(database.TxPutMetadata(c.ctx, tx, change), "PutMetadata")
	c.commit(tx)
}

func metadataObjects(c *check) {
	db := c.db()
	c.metadata(db)
	odd := `"Odd name"`
	if db.Dialect() == sqltext.MySQL {
		odd = "`Odd name`"
	}
	c.apply(db, "s", 1, "CREATE TABLE t (x int, y int); CREATE TABLE "+odd+" (x int)")
	c.putMetadata(db, &metadata.Change{Entries: []metadata.Stored{about(c.object(c.metadata(db), "t", ""), facts)}})
	s := c.metadata(db)
	for _, column := range []string{"", "x", "y"} {
		c.object(s, "t", column)
	}
	c.object(s, "Odd name", "x")
	c.promised(metadataNotOwn)
	for _, o := range s.Objects {
		c.that(!c.isOwn(o.Name.Object), "%q is among the objects", o.Name.Object)
	}
}

func metadataComments(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "CREATE TABLE t (x int)")
	s := c.metadata(db)
	c.need(s.Comments, "MetadataState.Comments is false")
	table, column := c.object(s, "t", ""), c.object(s, "t", "x")
	comments := func(text string) *metadata.Change {
		return &metadata.Change{Comments: []metadata.Comment{{Name: table.Name, ID: table.ID, Text: text}, {Name: column.Name, ID: column.ID, Text: text}}}
	}
	first := facts.Description
	if c.ASCIIComments {
		first = "it's one"
	}
	for _, text := range []string{first, "another", ""} {
		c.putMetadata(db, comments(text))
		s := c.metadata(db)
		for _, o := range []metadata.Object{c.object(s, "t", ""), c.object(s, "t", "x")} {
			c.that(o.Comment == text, "the comment of %v is %q, want %q", o.Name, o.Comment, text)
		}
	}
}

func metadataInTx(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "CREATE TABLE t (x int)")
	tx := c.begin(db, "s")
	c.run(tx, c.ddl("CREATE TABLE u (x int)"))
	s, err := database.TxMetadata(c.ctx, tx)
	c.ok(err, "Tx.Metadata")
	name := "u"
	if c.NoDDL {
		name = "t"
	}
	entry := about(c.object(s, name, ""), facts)
	c.ok(database.TxPutMetadata(c.ctx, tx, &metadata.Change{Entries: []metadata.Stored{entry}}), "PutMetadata")
	s, err = database.TxMetadata(c.ctx, tx)
	c.ok(err, "Tx.Metadata")
	c.hasEntries(s, entry)
	c.ok(tx.Rollback(c.ctx), "Rollback")
	c.hasEntries(c.metadata(db))

	tx = c.begin(db, "s")
	entry = about(c.object(c.metadata(db), "t", ""), facts)
	c.ok(database.TxPutMetadata(c.ctx, tx, &metadata.Change{Entries: []metadata.Stored{entry}}), "PutMetadata")
	c.ok(tx.Rollback(c.ctx), "Rollback")
	c.hasEntries(c.metadata(db))
}

func metadataOneAtATime(c *check) {
	one, two := c.db(), c.db()
	c.apply(one, "s", 1, "CREATE TABLE t (x int)")
	s := c.metadata(one)
	table, column := about(c.object(s, "t", ""), facts), about(c.object(s, "t", "x"), facts)
	c.alone(one, two, func(tx database.Tx) {
		_, err := database.TxMetadata(c.ctx, tx)
		c.ok(err, "Tx.Metadata")
	}, table)
	c.hasEntries(c.metadata(one), table)
	c.promised(metadataOne)
	c.alone(one, two, func(tx database.Tx) {
		c.ok(database.TxPutMetadata(c.ctx, tx, &metadata.Change{}), "PutMetadata")
		_, err := database.TxMetadata(c.ctx, tx) // and what was queued is executed
		c.ok(err, "Tx.Metadata")
	}, column)
	c.hasEntries(c.metadata(one), column)
}

// alone begins a transaction. Another one, of another set, which adds an entry, must wait for it.
func (c *check) alone(one, two database.Database, begin func(database.Tx), added metadata.Stored) {
	c.Helper()
	first := c.begin(one, "s")
	begin(first)
	done := make(chan error, 1)
	go func() {
		tx, _, err := two.Begin(c.ctx, "another", patient)
		if err == nil {
			defer tx.Rollback(c.ctx)
			err = c.add(tx, added)
		}
		done <- err
	}()
	select {
	case err := <-done:
		c.fail(fmt.Sprintf("a second transaction ended while the first was open, with the error %v", err))
	case <-time.After(50 * time.Millisecond): // long enough to show that a driver does not wait
	}
	c.commit(first)
	c.ok(<-done, "the second transaction")
}

// add adds a metadata entry, and commits.
func (c *check) add(tx database.Tx, added metadata.Stored) error {
	s, err := database.TxMetadata(c.ctx, tx)
	if err != nil {
		return err
	}
	if err := database.TxPutMetadata(c.ctx, tx, &metadata.Change{Entries: append(s.Entries, added)}); err != nil {
		return err
	}
	_, err = tx.Commit(c.ctx)
	return err
}

func queryRows(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "CREATE TABLE t (x int, y text); INSERT INTO t VALUES (1, 'a''b'); INSERT INTO t VALUES (2, NULL)")
	rows, err := database.ReadQuery(c.ctx, db, "SELECT * FROM t")
	c.ok(err, "Query")
	c.promised(rowsColumns)
	c.that(slices.Equal(rows.Columns, []string{"x", "y"}), "the columns are %q", rows.Columns)
	c.promised(rowsValues)
	c.that(len(rows.Rows) == 2, "there are %d rows, want 2", len(rows.Rows))
	slices.SortFunc(rows.Rows, func(a, b []any) int { return strings.Compare(fmt.Sprint(a[0]), fmt.Sprint(b[0])) })
	want := [][]any{{int64(1), "a'b"}, {int64(2), nil}}
	c.that(reflect.DeepEqual(rows.Rows, want), "the rows are %#v, want %#v", rows.Rows, want)
}

func queryOnlyReads(c *check) {
	db := c.dbWith("t")
	for _, statement := range []string{"INSERT INTO t VALUES (7)", "DROP TABLE t"} {
		_, err := database.ReadQuery(c.ctx, db, statement)
		err = c.powered(err)
		c.that(errors.Is(err, database.ErrReadOnly), "%s: %v, want ErrReadOnly", statement, err)
	}
	c.hasRows("t", 0)
}

func queryInTx(c *check) {
	db := c.dbWith("t")
	for _, commits := range []bool{false, true} {
		tx := c.begin(db, "s")
		rows, err := database.TxQuery(c.ctx, tx, "INSERT INTO t VALUES (7)")
		c.ok(err, "Query")
		c.that(rows != nil, "INSERT returned nothing")
		c.that(len(rows.Rows) == 0, "INSERT returned %+v", rows)
		if !commits {
			c.ok(tx.Rollback(c.ctx), "Rollback")
			continue
		}
		c.record(tx, 1)
		c.commit(tx)
	}
	c.promised(txQueryEnds)
	c.hasRows("t", 1)
	tx := c.begin(db, "s")
	_, err := database.TxQuery(c.ctx, tx, "INSERT INTO no_such_table VALUES (1)")
	c.isQueryError(err)
}

// isQueryError fails the case unless an error is that of a query's statement, with its place.
func (c *check) isQueryError(err error) *database.StatementError {
	c.Helper()
	e := as[*database.StatementError](c, err, "Query")
	c.that(e.Pos.File == database.QueryFile, "Pos.File is %q, want %q", e.Pos.File, database.QueryFile)
	c.that(e.Pos.Line > 0, "Pos.Line is %d", e.Pos.Line)
	return e
}

func queryFails(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	_, err := database.ReadQuery(c.ctx, db, "SELECT *\nFROM no_such_table")
	e := c.isQueryError(c.powered(err))
	c.that(e.Code != "", "Code is empty")
	c.that(e.Message != "", "Message is empty")
	_, err = database.ReadQuery(c.ctx, db, "SELECT 1") // the Database still works
	c.ok(err, "Query")
}

func querySession(c *check) {
	c.need(len(c.Session) > 0, noSession)
	for _, ch := range c.Session {
		db := c.db()
		c.table(db, "probe")
		tx := c.begin(db, "s")
		if _, err := database.TxQuery(c.ctx, tx, ch.Change); c.powered(err) != nil { // it may be more than one statement
			c.ok(tx.Rollback(c.ctx), "Rollback")
			c.aside(db, "DROP TABLE probe")
			continue
		}
		c.commit(tx)
		c.apply(db, "s", 1, ch.Probe)
		c.hasRows("probe", 0)
		c.aside(db, "DROP TABLE probe")
	}
}
