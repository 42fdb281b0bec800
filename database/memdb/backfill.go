package memdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// backfill is a stored backfill. Lanes that are done are removed from it.
type backfill struct {
	database.Backfill
	lastLane int64
}

// rowBehaviour is what tests let rows do.
type rowBehaviour struct {
	compare map[string]func(a, b database.Key) int
	failing map[string]map[string]int // by table and row, how often; below 0 for always
	slow    map[string]time.Duration
	signals func(migration.Throttle) []database.Signal
}

// Order sets the order of a table's keys. By default, columns are compared as numbers if both are
// numbers, and otherwise byte by byte.
func (t *Target) Order(table string, compare func(a, b database.Key) int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	put(&t.rows.compare, table, compare)
}

// FailRow lets the next statements of a backfill's body that change a row fail; below 0 all of
// them, 0 none.
func (t *Target) FailRow(table, row string, times int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := maps.Clone(t.rows.failing[table])
	put(&rows, row, times)
	put(&t.rows.failing, table, rows)
}

// SlowRows sets how long a batch takes for each row of a table.
func (t *Target) SlowRows(table string, each time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	put(&t.rows.slow, table, each)
}

// SetSignals sets the function that measures what a throttle asks for.
func (t *Target) SetSignals(measure func(migration.Throttle) []database.Signal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows.signals = measure
}

func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

// Insert adds rows to a table, as the application does while a backfill runs.
func (t *Target) Insert(table string, rows ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return insert(table, rows...)(t.live)
}

// Delete removes a row from a table, as the application does while a backfill runs.
func (t *Target) Delete(table, row string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	own, err := t.live.own(table)
	if err != nil {
		return err
	}
	own.rows = slices.DeleteFunc(own.rows, func(r string) bool { return r == row })
	delete(own.touched, row)
	return nil
}

// Touched returns how often backfills have changed each row of a table.
func (t *Target) Touched(table string) map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[string]int{}
	if of := t.live.tables[table]; of != nil {
		for _, r := range of.rows {
			counts[r] = of.touched[r]
		}
	}
	return counts
}

var untouchedForm = stmt(`SELECT untouched FROM NAME`, nil).re

func (d *Database) untouched(name string) (*database.Rows, error) {
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	all, err := d.target.live.rows(name, nil)
	if err != nil {
		return nil, err
	}
	var n int64
	for _, r := range all {
		if d.target.live.tables[name].touched[r] == 0 {
			n++
		}
	}
	return &database.Rows{Columns: []string{"untouched"}, Rows: [][]any{{n}}}, nil
}

// keyed is a row with its key.
type keyed struct {
	row string
	key database.Key
}

func keyOf(row string, columns int) database.Key {
	parts := strings.SplitN(row, ",", columns+1)
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts[:min(columns, len(parts))]
}

func compareKeys(a, b database.Key) int {
	for i := range min(len(a), len(b)) {
		n, err := strconv.ParseInt(a[i], 10, 64)
		m, merr := strconv.ParseInt(b[i], 10, 64)
		c := strings.Compare(a[i], b[i])
		if err == nil && merr == nil {
			c = cmp.Compare(n, m)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// comparer returns the order of a table. mu is held.
func (t *Target) comparer(table string) func(a, b database.Key) int {
	if c := t.rows.compare[table]; c != nil {
		return c
	}
	return compareKeys
}

// between returns the rows of a table after a key and up to another, in the order of their keys.
// nil is no limit. mu is held.
func (t *Target) between(c *content, b *database.Backfill, after, last database.Key) ([]keyed, error) {
	name := unquote(b.Table)
	rows, err := c.rows(name, nil)
	if err != nil {
		return nil, err
	}
	compare := t.comparer(name)
	var all []keyed
	for _, r := range rows {
		k := keyOf(r, len(b.Key))
		if (after == nil || compare(k, after) > 0) && (last == nil || compare(k, last) <= 0) {
			all = append(all, keyed{r, k})
		}
	}
	order.By(all, func(a, b keyed) int { return compare(a.key, b.key) })
	return all, nil
}

// CheckBackfill implements database.Backfiller. The key must be columns of the table; by default it
// is the first one.
func (d *Database) CheckBackfill(ctx context.Context, s *migration.Script) (database.BackfillTarget, error) {
	if err := d.enter(ctx, OpCheckBackfill); err != nil {
		return database.BackfillTarget{}, err
	}
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	return d.target.live.backfillTarget(s)
}

func (c *content) backfillTarget(s *migration.Script) (out database.BackfillTarget, err error) {
	wrong := func(format string, args ...any) error {
		return &sqltext.Error{Pos: sqltext.Position{File: s.File, Line: max(s.Line, 1), Column: 1}, Msg: fmt.Sprintf(format, args...)}
	}
	if s.Backfill == nil {
		return out, wrong("this script is not a backfill")
	}
	name := unquote(s.Backfill.Table)
	t := c.tables[name]
	if t == nil {
		return out, fmt.Errorf("%w: %w", wrong("table %s does not exist", s.Backfill.Table), database.ErrNoTable)
	}
	columns := t.columns()
	out = database.BackfillTarget{Table: quote(name), Key: s.Backfill.Key, RowsEstimated: int64(len(t.rows))}
	if len(out.Key) == 0 && len(columns) > 0 {
		out.Key = columns[:1]
	}
	for i, column := range out.Key {
		if i >= len(columns) || columns[i] != column {
			return out, wrong("column %s is not part of a unique key of table %s", column, s.Backfill.Table)
		}
	}
	return out, nil
}

// Backfills implements database.Backfiller.
func (d *Database) Backfills(ctx context.Context, q database.BackfillQuery) ([]database.Backfill, error) {
	if err := d.enter(ctx, OpBackfills); err != nil {
		return nil, err
	}
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	var all []database.Backfill
	for id, b := range d.target.ledger(d.own, false).fills {
		if (q.Set == "" || q.Set == id.Set) && (q.Version == nil || *q.Version == id.Version) && !(q.Unfinished && b.State == database.BackfillDone) {
			all = append(all, b.now())
		}
	}
	order.By(all, func(a, b database.Backfill) int {
		return cmp.Or(strings.Compare(a.Set, b.Set), cmp.Compare(a.Version, b.Version))
	})
	return all, nil
}

// now returns the backfill as it is now. mu is held.
func (b *backfill) now() database.Backfill {
	out := b.Backfill
	out.Now, out.Lanes = micros(time.Now()), slices.Clone(b.Lanes)
	return out
}

// fill returns a backfill. mu is held.
func (d *Database) fill(id database.BackfillID) (*backfill, error) {
	b := d.target.ledger(d.own, false).fills[id]
	if b == nil {
		return nil, fmt.Errorf("backfill %d of set %q: %w", id.Version, id.Set, database.ErrNoBackfill)
	}
	return b, nil
}

// ChangeBackfill implements database.Backfiller.
func (d *Database) ChangeBackfill(ctx context.Context, c database.BackfillChange) (out database.Backfill, err error) {
	end, err := d.enterUntil(ctx, OpChangeBackfill)
	if err != nil {
		return out, err
	}
	defer func() { err = d.left(end, err) }()
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	b, err := d.fill(c.BackfillID)
	if err != nil {
		return out, err
	}
	effect, err := new(b.now()).Change(c)
	if err != nil || !effect.Changes {
		return b.now(), err
	}
	b.Backfill = effect.After
	if c.Action == database.ActionPass {
		if b.Last, err = d.target.lastKey(d.target.live, &b.Backfill); err != nil {
			return out, err
		}
	}
	if effect.Remark != "" {
		d.target.ledger(d.own, true).add(d.keep(c.Entry(b.now(), effect.Remark)))
	}
	return b.now(), nil
}

// lastKey returns the last key of a backfill's table. mu is held.
func (t *Target) lastKey(c *content, b *database.Backfill) (database.Key, error) {
	rows, err := t.between(c, b, nil, nil)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[len(rows)-1].key, nil
}

// Signals implements database.Backfiller: it calls the function of SetSignals.
func (d *Database) Signals(ctx context.Context, _ database.Backfill, t migration.Throttle) ([]database.Signal, error) {
	if err := d.enter(ctx, OpSignals); err != nil {
		return nil, err
	}
	d.target.mu.Lock()
	measure := d.target.rows.signals
	d.target.mu.Unlock()
	if measure == nil {
		return nil, nil
	}
	return measure(t), nil
}

// frozen reports whether the target is frozen. mu is held.
func (d *Database) frozen() bool {
	return d.target.state(d.own, "", nil).Settings.Bool(database.Frozen)
}

// ClaimLane implements database.Backfiller.
func (d *Database) ClaimLane(ctx context.Context, c database.LaneClaim) (out database.Backfill, work database.LaneWork, err error) {
	end, err := d.enterUntil(ctx, OpClaimLane)
	if err != nil {
		return out, nil, err
	}
	defer func() {
		if err = d.left(end, err); err != nil {
			work = nil
		}
	}()
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	b, err := d.fill(c.BackfillID)
	switch {
	case err != nil:
		return out, nil, err
	case d.frozen():
		return b.now(), nil, fmt.Errorf("the database is frozen: %w", database.ErrBackfillStopped)
	}
	claim := new(b.now()).Claim()
	i := claim.Lane
	if claim.Cut > 0 {
		if i, err = d.target.cut(b, claim.Cut); err != nil {
			return out, nil, err
		}
	}
	if i < 0 {
		return b.now(), nil, nil
	}
	l := &b.Lanes[i]
	l.Worker, l.LeasedUntil, l.Token = c.Worker, micros(time.Now().Add(c.Lease)), l.Token+1
	return b.now(), &laneWork{db: d, claim: c, lane: *l}, nil
}

// cut cuts a lane of so many rows from the head. mu is held.
func (t *Target) cut(b *backfill, rows int) (int, error) {
	ahead, err := t.between(t.live, &b.Backfill, b.Head, b.Last)
	if err != nil {
		return -1, err
	}
	last := b.Last
	if len(ahead) > rows {
		last = ahead[rows-1].key
	}
	b.lastLane++
	b.Lanes = append(b.Lanes, database.Lane{ID: b.lastLane, After: b.Head, At: b.Head, Last: last})
	b.Head = last
	return len(b.Lanes) - 1, nil
}

// laneWork is a lane that a process has.
type laneWork struct {
	db    *Database
	claim database.LaneClaim
	lane  database.Lane
}

func (w *laneWork) Lane() database.Lane { return w.lane }

// mine returns the backfill and the lane, if the worker still has it. mu is held.
func (w *laneWork) mine() (*backfill, *database.Lane, error) {
	b, err := w.db.fill(w.claim.BackfillID)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", database.ErrLeaseLost, err)
	}
	for i := range b.Lanes {
		if l := &b.Lanes[i]; l.ID == w.lane.ID && l.Worker == w.claim.Worker && l.Token == w.lane.Token {
			return b, l, nil
		}
	}
	return nil, nil, database.ErrLeaseLost
}

func (w *laneWork) Batch(ctx context.Context, rows int) (out database.BatchResult, err error) {
	start := time.Now()
	end, err := w.db.enterUntil(ctx, OpLaneBatch)
	if err != nil {
		return out, err
	}
	defer func() { err = w.db.left(end, err) }()
	if end == ErrNotCommitted {
		return out, nil
	}
	if err := w.takeTime(ctx, rows); err != nil {
		return out, err
	}
	out, err = w.batch(ctx, rows)
	out.Duration = time.Since(start)
	return out, err
}

// takeTime waits for as long as the rows of a batch take.
func (w *laneWork) takeTime(ctx context.Context, rows int) error {
	w.db.target.mu.Lock()
	b, l, err := w.mine()
	if err != nil {
		w.db.target.mu.Unlock()
		return err
	}
	all, err := w.db.target.between(w.db.target.live, &b.Backfill, l.At, l.Last)
	each, limit := w.db.target.rows.slow[unquote(b.Table)], b.Timeout
	w.db.target.mu.Unlock()
	if err != nil || each == 0 {
		return err
	}
	takes := each * time.Duration(min(len(all), rows))
	timer := time.NewTimer(min(takes, limit))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.db.gone:
		return w.db.err()
	}
	if takes > limit {
		return database.ErrBatchTimeout
	}
	return nil
}

func (w *laneWork) batch(ctx context.Context, rows int) (out database.BatchResult, err error) {
	body, err := bodyOf(w.claim.Script)
	if err != nil {
		return out, err
	}
	for _, st := range body {
		if err := w.db.wait(ctx, st, waiter{database.LockOptions{LockTimeout: w.claim.LockTimeout}, w.claim.Script.Directives}); err != nil {
			return out, statementError(st, err)
		}
	}
	t := w.db.target
	t.mu.Lock()
	defer t.mu.Unlock()
	b, l, err := w.mine()
	switch {
	case w.db.cause != nil: // killed while it waited
		return out, w.db.cause
	case err != nil:
		return out, err
	case b.State != database.BackfillRunning || w.db.frozen():
		return out, database.ErrBackfillStopped
	}
	// Like a driver that knows the bounds of its batch before it has the lane's row, it relies on
	// what it knows of the lane.
	ahead, err := t.between(t.live, &b.Backfill, w.lane.At, l.Last)
	if err != nil {
		return out, err
	}
	batch := ahead[:min(len(ahead), rows)]
	next := t.live.clone()
	if err := t.change(next, b, w.claim.Script, body, batch); err != nil {
		return out, err
	}
	t.live = next
	out.Rows, out.Changed, out.Done = int64(len(batch)), int64(len(batch)), len(ahead) <= rows
	b.RowsDone, b.Batches, b.UpdatedAt = b.RowsDone+out.Rows, b.Batches+1, micros(time.Now())
	l.Rows, l.Batches, l.Batch, l.Attempts, l.Error = l.Rows+out.Rows, l.Batches+1, rows, 0, ""
	l.LeasedUntil = micros(time.Now().Add(w.claim.Lease))
	if l.At = l.Last; !out.Done {
		l.At = batch[len(batch)-1].key
	}
	w.lane = *l
	if out.Done {
		b.Lanes = slices.DeleteFunc(b.Lanes, func(l database.Lane) bool { return l.ID == w.lane.ID })
	}
	return out, nil
}

// Batches returns the script of a backfill whose body is a Go function: it is called for each batch
// with the keys of its rows, and must not use the target. If it succeeds, each row counts as
// changed once.
func Batches(id string, b *migration.Backfill, fn func(keys []database.Key) error) *migration.Script {
	s := migration.Func(id, fn)
	s.Backfill = b
	return s
}

// change executes the body of a backfill for the rows of a batch. mu is held.
func (t *Target) change(c *content, b *backfill, s *migration.Script, body []sqltext.Statement, batch []keyed) error {
	if len(batch) == 0 {
		return nil
	}
	failed := func(err error) error {
		return &database.BatchError{First: batch[0].key, Last: batch[len(batch)-1].key, Rows: int64(len(batch)), Err: err}
	}
	if fn, ok := s.Func().(func([]database.Key) error); ok {
		var keys []database.Key
		for _, r := range batch {
			keys = append(keys, r.key)
		}
		if err := fn(keys); err != nil {
			return failed(fmt.Errorf("%s: %w", s.File, err))
		}
		return t.touch(c, unquote(b.Table), batch)
	}
	for _, st := range body {
		name := unquote(bodyForm.FindStringSubmatch(st.Text)[1])
		for _, r := range batch {
			if n := t.rows.failing[name][r.row]; n != 0 {
				t.rows.failing[name][r.row] = n - 1
				return failed(statementError(st, sqlError("23505", "row %s can't be changed", r.row)))
			}
		}
		if err := t.touch(c, name, batch); err != nil {
			return failed(statementError(st, err))
		}
	}
	return nil
}

// touch counts a change of each row. mu is held.
func (t *Target) touch(c *content, table string, batch []keyed) error {
	own, err := c.own(table)
	if err != nil {
		return err
	}
	for _, r := range batch {
		put(&own.touched, r.row, own.touched[r.row]+1)
	}
	return nil
}

var bodyForm = stmt(`UPDATE NAME SET .*:first.*:last.*`, nil).re

// bodyOf returns the statements of a body.
func bodyOf(s *migration.Script) ([]sqltext.Statement, error) {
	text, _, err := s.Text(migration.KeepInMemory)
	if err != nil || s.Func() != nil {
		return nil, err
	}
	all, err := sqltext.Split(text, sqltext.PostgreSQL, sqltext.Options{File: s.File, Line: s.Line})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(st sqltext.Statement) bool { return st.Kind == sqltext.Empty })
	for _, st := range all {
		if !bodyForm.MatchString(st.Text) {
			return nil, statementError(st, sqlError("42601", "not a statement of a backfill"))
		}
	}
	return all, nil
}

// Close gives the lane back.
func (w *laneWork) Close(_ context.Context, failure *database.LaneFailure) (err error) {
	end, err := w.db.enterUntil(context.Background(), OpLaneClose)
	if err != nil {
		return err
	}
	defer func() { err = w.db.left(end, err) }()
	w.db.target.mu.Lock()
	defer w.db.target.mu.Unlock()
	_, l, err := w.mine()
	if err != nil {
		return nil // it is done, or lost
	}
	l.Worker, l.LeasedUntil = "", time.Time{}
	if f := failure; f != nil {
		l.Attempts += f.Attempts
		l.Error, l.Failed = f.Err, l.Failed || f.Final
		if f.NotBefore > 0 {
			l.NotBefore = micros(time.Now().Add(f.NotBefore))
		}
		if f.Batch > 0 {
			l.Batch = f.Batch
		}
	}
	return nil
}

// enterUntil is enter for a call that a hook can end after it took effect: end says how.
func (d *Database) enterUntil(ctx context.Context, op string) (end, err error) {
	err = d.enter(ctx, op)
	for _, end := range []error{ErrCommitted, ErrNotCommitted, ErrDone} {
		if errors.Is(err, end) {
			return end, nil
		}
	}
	return nil, err
}

// left ends a call as the hook wanted it.
func (d *Database) left(end, err error) error {
	switch {
	case end == nil || err != nil:
		return err
	case end == ErrDone:
		d.Kill()
		return ErrKilled
	}
	return &database.CommitUnknownError{Err: end}
}

// StartBackfill implements database.BackfillTx.
func (tx *transaction) StartBackfill(ctx context.Context, s database.BackfillStart) error {
	if err := tx.enter(ctx, OpTxBackfill); err != nil {
		return err
	}
	return tx.do(ctx, func(context.Context) error {
		t := tx.db.target
		t.mu.Lock()
		defer t.mu.Unlock()
		of, err := tx.content.backfillTarget(s.Script)
		if err != nil {
			return err
		}
		now := micros(time.Now())
		b := &backfill{Backfill: database.Backfill{
			BackfillID: database.BackfillID{Set: tx.set, Version: s.Version}, Name: s.Name, EntryID: s.EntryID, Table: of.Table, Key: of.Key,
			State: database.BackfillRunning, Detached: s.Detached, BackfillLimits: s.Limits, Pass: 1, RowsEstimated: of.RowsEstimated,
			StartedAt: now, UpdatedAt: now,
		}}
		if b.Last, err = t.lastKey(tx.content, &b.Backfill); err != nil {
			return err
		}
		tx.fills = append(tx.fills, func(l *ledger) error {
			for _, e := range tx.entries {
				if e.Direction == database.Start && e.Version == s.Version {
					b.EntryID = e.ID
				}
			}
			l.fills[b.BackfillID] = b
			return nil
		})
		return nil
	})
}

// FinishBackfill implements database.BackfillTx.
func (tx *transaction) FinishBackfill(ctx context.Context, version int64) error {
	return tx.endFill(ctx, version, func(l *ledger, id database.BackfillID) error {
		b := l.fills[id]
		if b == nil || b.State != database.BackfillRunning || len(b.Lanes) > 0 || !b.AllCut() {
			return fmt.Errorf("backfill %d is not done: %w", version, database.ErrBackfillStopped)
		}
		b.State, b.FinishedAt = database.BackfillDone, micros(time.Now())
		return nil
	})
}

// EndBackfill implements database.BackfillTx.
func (tx *transaction) EndBackfill(ctx context.Context, version int64) error {
	return tx.endFill(ctx, version, func(l *ledger, id database.BackfillID) error {
		delete(l.fills, id)
		return nil
	})
}

func (tx *transaction) endFill(ctx context.Context, version int64, end func(*ledger, database.BackfillID) error) error {
	if err := tx.enter(ctx, OpTxBackfill); err != nil {
		return err
	}
	return tx.do(ctx, func(context.Context) error {
		tx.fills = append(tx.fills, func(l *ledger) error {
			return end(l, database.BackfillID{Set: tx.set, Version: version})
		})
		return nil
	})
}
