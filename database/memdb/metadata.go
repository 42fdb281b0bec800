package memdb

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// fact is an entry of the metadata as it is kept.
type fact struct {
	name  metadata.Name
	facts string // encoded
}

// Metadata implements database.MetadataDriver: tables with their columns, and comments, in
// no schema. Objects have no IDs.
func (d *Database) Metadata(ctx context.Context) (*metadata.State, error) {
	if err := d.enter(ctx, OpMetadata); err != nil {
		return nil, err
	}
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	return d.target.live.metadata(d.target.ledger(d.own, false).facts)
}

// metadata makes a state of the facts that are kept, and of what there is. mu is held.
func (c *content) metadata(facts []fact) (*metadata.State, error) {
	s := &metadata.State{Comments: true}
	for _, f := range facts {
		decoded, err := metadata.DecodeFacts(f.facts)
		if err != nil {
			return nil, err
		}
		s.Entries = append(s.Entries, metadata.Stored{Name: f.name, Facts: decoded})
	}
	for name := range c.tables {
		n := metadata.Name{Kind: metadata.Table, Object: name}
		s.Objects = append(s.Objects, metadata.Object{Name: n, Comment: c.comments[n]})
		for _, column := range c.columns(name) {
			n := metadata.Name{Kind: metadata.Column, Object: name, Column: column}
			s.Objects = append(s.Objects, metadata.Object{Name: n, Comment: c.comments[n]})
		}
	}
	return s, nil
}

// columns returns the names of a table's columns.
func (c *content) columns(table string) (names []string) {
	for part := range strings.SplitSeq(c.defined["table "+table], ",") {
		if name, _, _ := strings.Cut(strings.TrimSpace(part), " "); name != "" {
			names = append(names, unquote(name))
		}
	}
	return names
}

func (tx *transaction) Metadata(ctx context.Context) (*metadata.State, error) {
	if err := tx.enter(ctx, OpTxMetadata); err != nil {
		return nil, err
	}
	if err := tx.flush(ctx); err != nil {
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

// lockMetadata keeps other transactions from changing the metadata until this one is over.
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
			if t == nil || m.Name.Column != "" && !slices.Contains(c.columns(m.Name.Object), m.Name.Column) {
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

// Query implements database.MetadataDriver. SELECT * FROM t returns rows, which are texts; other
// queries none.
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
	_, err := d.run(ctx, st, nil, session{}) // it may be no statement at all
	return &database.Rows{}, err
}

// Query executes one statement with the transaction. None returns rows.
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

var literals = regexp.MustCompile(`'(?:[^']|'')*'|[^,]+`)

func (d *Database) rowsOf(m []string) (*database.Rows, error) {
	name := unquote(m[1])
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	stored, err := d.target.live.rows(name, nil)
	if err != nil {
		return nil, err
	}
	out := &database.Rows{Columns: d.target.live.columns(name), Rows: [][]any{}}
	for _, s := range stored {
		var row []any
		for _, v := range literals.FindAllString(s, -1) {
			row = append(row, value(strings.TrimSpace(v)))
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

// value returns what a literal says.
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
