package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// CheckBackfill looks up the table and its key, and lets the server parse the statements.
func (db *Database) CheckBackfill(ctx context.Context, s *migration.Script) (database.BackfillTarget, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return database.BackfillTarget{}, err
	}
	defer c.giveBack()
	k, err := checkTarget(ctx, c, db, s)
	if err != nil {
		return database.BackfillTarget{}, err
	}
	t := database.BackfillTarget{Table: k.shown, Key: k.columns, RowsEstimated: k.rows, Sync: k.syncTable(s)}
	statements, err := bodyOf(s, k)
	if err != nil {
		return t, err
	}
	for _, st := range statements {
		if err := c.parse(ctx, st); err != nil {
			return t, err
		}
	}
	if err := c.parseQuery(ctx, s, "check", s.Backfill.Check); err != nil {
		return t, err
	}
	if err := c.parseQuery(ctx, s, "throttle", s.Backfill.Throttle.Query); err != nil {
		return t, err
	}
	return t, c.parseSync(ctx, s, k)
}

// atDirective returns an error with the place of a directive.
func atDirective(s *migration.Script, word, msg string) error {
	return &sqltext.Error{Pos: s.Place(word, sqltext.PostgreSQL), Msg: msg}
}

// checkTarget returns how the rows of a script's table are taken.
func checkTarget(ctx context.Context, c *conn, db *Database, s *migration.Script) (*keyPlan, error) {
	b := s.Backfill
	if b == nil {
		return nil, fmt.Errorf("%s is not a backfill", s.File)
	}
	info, err := lookUp(ctx, c, b.Table)
	if pg, ok := drivers.AsType[*pgconn.PgError](err); ok && !ended(pg) && ctx.Err() == nil {
		return nil, atDirective(s, "backfill", fmt.Sprintf("%q is not the name of a table: %s", b.Table, pg.Message))
	}
	if err != nil {
		return nil, err
	}
	if info == nil {
		return nil, fmt.Errorf("%w (%w)", atDirective(s, "backfill", fmt.Sprintf("the table %s does not exist", b.Table)), database.ErrNoTable)
	}
	if wrong := info.wrong(db); wrong != "" {
		return nil, atDirective(s, "backfill", wrong)
	}
	k, wrong := planFor(info, b.Key)
	switch {
	case wrong != "":
		return nil, atDirective(s, "key", wrong)
	case !k.byBlocks():
	case c.serverMajor() < 14:
		return nil, atDirective(s, "backfill", fmt.Sprintf("the table %s has no primary key; PostgreSQL finds a range of blocks without reading the whole table since version 14 only. Name a unique key (-- whimbrel: key COLUMNS)", k.shown))
	case b.Check == "":
		return nil, atDirective(s, "backfill", fmt.Sprintf("the table %s has no primary key, so it is taken block by block; rows that move meanwhile are missed or taken twice. Name a unique key (-- whimbrel: key COLUMNS), or say how rows are counted that are still to do (-- whimbrel: check SELECT …)", k.shown))
	}
	return k, nil
}

// wrong says why the relation can't be changed in batches, or returns "".
func (info *relationInfo) wrong(db *Database) string {
	word := kindWords[info.Kind]
	switch {
	case slices.Contains(db.Tables(), strings.ToLower(info.Name)):
		return fmt.Sprintf("%s is one of Whimbrel's tables", info.Shown)
	case info.Kind != "r" && info.Kind != "p":
		if word == "" {
			word = "no table"
		} else {
			word = "a " + word
		}
		return fmt.Sprintf("%s is %s; a backfill changes the rows of a table", info.Shown, word)
	case info.Temp:
		return fmt.Sprintf("the table %s is temporary, so other sessions don't see it", info.Shown)
	case info.Parent:
		return fmt.Sprintf("other tables inherit from %s, so no index makes a key unique", info.Shown)
	case info.Hidden:
		return fmt.Sprintf("row-level security hides rows of %s from this role; connect as a role to which it does not apply", info.Shown)
	}
	return ""
}

// bodyText is a statement of a body as it is sent. Its parameters are the columns of the first
// key, and then those of the last, whether it names them or not.
type bodyText struct {
	st   sqltext.Statement
	sql  string
	oids []uint32
	// at are the places in sql where a parameter begins or ends, and those in the statement's text.
	at []placeInText
}

type placeInText struct{ sent, original int }

// bodyOf returns the statements of a script as they are sent; none for a function.
func bodyOf(s *migration.Script, k *keyPlan) ([]bodyText, error) {
	body, err := s.Body(sqltext.PostgreSQL)
	if err != nil || body == nil {
		return nil, err
	}
	all := make([]bodyText, len(body.Statements))
	for i, st := range body.Statements {
		if all[i], err = k.render(st); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// render puts the server's placeholders into a statement.
func (k *keyPlan) render(b migration.BodyStatement) (bodyText, error) {
	t := bodyText{st: b.Statement, oids: k.typed(2)}
	places := b.Statement.Params(sqltext.PostgreSQL)
	var sql strings.Builder
	for i, part := range b.Parts {
		sql.WriteString(part)
		if i == len(b.Params) {
			break
		}
		p := b.Params[i]
		first := 1
		if p.Last {
			first += len(k.columns)
		}
		var placeholders []string
		for n, column := range k.columns {
			if p.Column == "" || p.Column == column {
				placeholders = append(placeholders, fmt.Sprintf("$%d", first+n))
			}
		}
		if len(placeholders) == 0 {
			return t, &sqltext.Error{Pos: b.Statement.PositionAt(places[i].From), Msg: fmt.Sprintf("the key (%s) has no column %q", strings.Join(k.columns, ", "), p.Column)}
		}
		t.at = append(t.at, placeInText{sql.Len(), places[i].From})
		sql.WriteString(strings.Join(placeholders, ", "))
		t.at = append(t.at, placeInText{sql.Len(), places[i].To})
	}
	t.sql = sql.String()
	return t, nil
}

// place converts the server's position, in characters from 1, to one in the script.
func (t *bodyText) place(position int) sqltext.Position {
	if position <= 0 {
		return t.st.Pos
	}
	sent := byteOffset(t.sql, position)
	original := sent
	for i, p := range t.at {
		if p.sent > sent {
			break
		}
		original = p.original
		if begins := i%2 == 0; !begins {
			original += sent - p.sent
		}
	}
	return t.st.PositionAt(min(original, len(t.st.Text)))
}

// fail explains an error of the server.
func (t *bodyText) fail(pg *pgconn.PgError) error {
	e := serverError(t.st, pg)
	e.Pos = t.place(int(pg.Position))
	return e
}

// parse lets the server parse a statement, without executing it.
func (c *conn) parse(ctx context.Context, t bodyText) error {
	_, pg, err := c.describe(ctx, t.sql, t.oids)
	if pg != nil {
		return parseError(t.place(int(pg.Position)), pg)
	}
	return err
}

// parseQuery lets the server parse the query of a directive, if there is one. Its result must be
// one value.
func (c *conn) parseQuery(ctx context.Context, s *migration.Script, word, sql string) error {
	if sql == "" {
		return nil
	}
	columns, pg, err := c.describe(ctx, sql, nil)
	switch {
	case err != nil:
		return err
	case pg != nil:
		return parseError(s.Place(word, sqltext.PostgreSQL), pg)
	case columns != 1:
		return atDirective(s, word, fmt.Sprintf("the query must return one value, but it has %d columns", columns))
	}
	return nil
}

// describe returns the number of columns of a statement's result, or the server's error about the
// statement.
func (c *conn) describe(ctx context.Context, sql string, oids []uint32) (columns int, pg *pgconn.PgError, err error) {
	err = c.do(ctx, func(ctx context.Context, pc *pgconn.PgConn) error {
		p := pc.StartPipeline(ctx)
		p.SendPrepare("", sql, oids)
		err := p.Sync()
		if err == nil {
			var res any
			res, err = p.GetResults()
			if sd, ok := res.(*pgconn.StatementDescription); ok {
				columns = len(sd.Fields)
			}
		}
		if cerr := p.Close(); err == nil {
			err = cerr
		}
		return err
	})
	if pg, ok := drivers.AsType[*pgconn.PgError](err); ok && !ended(pg) && ctx.Err() == nil {
		return 0, pg, nil
	}
	return columns, nil, err
}

// parseError is the server's error about a statement at a place.
func parseError(at sqltext.Position, pg *pgconn.PgError) error {
	msg := pg.Message
	if pg.Detail != "" {
		msg += "; " + pg.Detail
	}
	if say := hint(pg); say != "" {
		msg += "; hint: " + say
	}
	var err error = &bodyError{place: &sqltext.Error{Pos: at, Msg: msg}, server: pg}
	if pg.Code == "42P01" || pg.Code == "3F000" { // perhaps another migration creates it
		err = fmt.Errorf("%w (%w)", err, database.ErrNoTable)
	}
	return err
}

// bodyError is a *sqltext.Error with the server's error.
type bodyError struct {
	place  *sqltext.Error
	server error
}

func (e *bodyError) Error() string   { return e.place.Error() }
func (e *bodyError) Unwrap() []error { return []error{e.place, e.server} }
