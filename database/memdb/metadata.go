package memdb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// fact is a stored entry of the metadata.
type fact struct {
	name  metadata.Name
	facts string // encoded
}

// Metadata implements database.MetadataReader. The objects are tables and columns; they have no
// schema and no IDs.
func (d *Database) Metadata(ctx context.Context) (*metadata.State, error) {
	if err := d.enter(ctx, OpMetadata); err != nil {
		return nil, err
	}
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	return d.target.live.metadata(d.target.ledger(d.own, false).facts)
}

// metadata returns the stored facts and the objects. mu is held.
func (c *content) metadata(facts []fact) (*metadata.State, error) {
	s := &metadata.State{Comments: true}
	for _, f := range facts {
		decoded, err := metadata.DecodeFacts(f.facts)
		if err != nil {
			return nil, err
		}
		s.Entries = append(s.Entries, metadata.Stored{Name: f.name, Facts: decoded})
	}
	add := func(n metadata.Name) {
		s.Objects = append(s.Objects, metadata.Object{Name: n, Comment: c.comments[n]})
	}
	for name, t := range c.tables {
		add(metadata.Name{Kind: metadata.Table, Object: name})
		for column := range t.definitions() {
			add(metadata.Name{Kind: metadata.Column, Object: name, Column: column})
		}
	}
	return s, nil
}

func (tx *transaction) Metadata(ctx context.Context) (*metadata.State, error) {
	if err := tx.enterAndFlush(ctx, OpTxMetadata); err != nil {
		return nil, err
	}
	if err := tx.lockMetadata(ctx); err != nil {
		return nil, tx.fail(err)
	}
	tx.db.target.mu.Lock()
	defer tx.db.target.mu.Unlock()
	facts := tx.db.target.ledger(tx.db.own, false).facts
	if tx.facts != nil {
		facts = *tx.facts
	}
	return tx.content.metadata(facts)
}

func (tx *transaction) PutMetadata(ctx context.Context, change *metadata.Change) error {
	if err := tx.enter(ctx, OpTxPutMetadata); err != nil {
		return err
	}
	var facts []fact
	for _, e := range change.Entries {
		encoded, err := metadata.EncodeFacts(e.Facts)
		if err != nil {
			return err
		}
		facts = append(facts, fact{e.Name, encoded})
	}
	comments := slices.Clone(change.Comments)
	return tx.do(ctx, func(ctx context.Context) error {
		if err := tx.lockMetadata(ctx); err != nil {
			return err
		}
		tx.db.target.mu.Lock()
		defer tx.db.target.mu.Unlock()
		do := comment(comments)
		if err := do(tx.content); err != nil {
			return err
		}
		tx.changes = append(tx.changes, placed{change: do})
		tx.facts = &facts
		return nil
	})
}

// lockMetadata prevents other transactions from changing the metadata until this one is over.
func (tx *transaction) lockMetadata(ctx context.Context) error {
	tx.db.target.mu.Lock()
	mine := slices.ContainsFunc(tx.others, func(h *hold) bool { return h.key.set == drivers.MetadataLock })
	tx.db.target.mu.Unlock()
	if mine || tx.set == drivers.MetadataLock {
		return nil
	}
	h, _, err := tx.db.acquire(ctx, drivers.MetadataLock, database.LockOptions{Timeout: drivers.MetadataTimeout}, "METADATA")
	if err != nil {
		return err
	}
	tx.db.target.mu.Lock()
	defer tx.db.target.mu.Unlock()
	if tx.hold.over {
		tx.db.release(h)
		return errOver
	}
	tx.others = append(tx.others, h)
	return nil
}

func comment(comments []metadata.Comment) change {
	return func(c *content) error {
		for _, m := range comments {
			t := c.tables[m.Name.Object]
			if t == nil || m.Name.Column != "" && !slices.Contains(t.columns(), m.Name.Column) {
				return sqlError("42P01", "%s %q does not exist", m.Name.Kind.Type(), m.Name.String())
			}
			if m.Text == "" {
				delete(c.comments, m.Name)
			} else {
				c.comments[m.Name] = m.Text
			}
		}
		return nil
	}
}

var queryForm = stmt(`SELECT \* FROM NAME`, nil).re

// Query implements database.Querier. SELECT * FROM t returns the rows of a table, and SELECT
// untouched FROM t how many of them no backfill has changed; other queries return none.
func (d *Database) Query(ctx context.Context, statement string) (*database.Rows, error) {
	if err := d.enter(ctx, OpQuery); err != nil {
		return nil, err
	}
	st, err := database.ReadingStatement(statement, sqltext.PostgreSQL)
	if err != nil {
		return nil, err
	}
	rows, err := d.query(ctx, st)
	if err != nil {
		return nil, statementError(st, err)
	}
	return rows, nil
}

func (d *Database) query(ctx context.Context, st sqltext.Statement) (*database.Rows, error) {
	if m := queryForm.FindStringSubmatch(st.Text); m != nil {
		return d.rowsOf(m)
	}
	if m := untouchedForm.FindStringSubmatch(st.Text); m != nil {
		return d.untouched(unquote(m[1]))
	}
	_, err := d.run(ctx, st, nil, session{}, waiter{}) // it may be a syntax error
	return &database.Rows{}, err
}

// Query implements database.Querier. It returns no rows.
func (tx *transaction) Query(ctx context.Context, statement string) (*database.Rows, error) {
	if err := tx.enter(ctx, OpQuery); err != nil {
		return nil, err
	}
	if _, err := database.OneStatement(statement, sqltext.PostgreSQL); err != nil {
		return nil, err
	}
	s := migration.Text(database.QueryFile, statement)
	if err := tx.do(ctx, func(ctx context.Context) error { return tx.script(ctx, s) }); err != nil {
		return nil, err
	}
	return &database.Rows{}, tx.flush(ctx)
}

var literals = lazyregexp.New(`'(?:[^']|'')*'|[^,]+`)

func (d *Database) rowsOf(m []string) (*database.Rows, error) {
	name := unquote(m[1])
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	stored, err := d.target.live.rows(name, nil)
	if err != nil {
		return nil, err
	}
	out := &database.Rows{Columns: d.target.live.tables[name].columns(), Rows: [][]any{}}
	for _, s := range stored {
		var row []any
		for _, v := range literals.FindAllString(s, -1) {
			row = append(row, value(strings.TrimSpace(v)))
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

// value returns the value of a literal.
func value(literal string) any {
	if inner, ok := strings.CutPrefix(literal, "'"); ok {
		return strings.ReplaceAll(strings.TrimSuffix(inner, "'"), "''", "'")
	}
	var n int64
	if _, err := fmt.Sscanf(literal, "%d", &n); err == nil {
		return n
	}
	if strings.EqualFold(literal, "NULL") {
		return nil
	}
	return literal
}
