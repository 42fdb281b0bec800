package drivers

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// BackfillColumns are the columns of the table of backfills, in the order of BackfillValues. The
// first two are its key.
var BackfillColumns = []string{
	"set_name", "version", "name", "entry_id", "table_name", "key_columns", "state", "detached",
	"batch", "target_us", "parallel", "pause_us", "timeout_us", "attempts", "pass", "head_key", "last_key",
	"rows_estimated", "rows_done", "batches", "next_lane", "throttled_by", "throttled_at", "error", "started_at", "updated_at", "finished_at",
}

// LaneColumns are the columns of the table of lanes, in the order of LaneValues. The first three
// are its key.
var LaneColumns = []string{
	"set_name", "version", "id", "after_key", "last_key", "at_key", "worker", "leased_until", "token",
	"attempts", "error", "not_before", "failed", "done", "batch", "rows_done", "batches",
}

// StoredBackfill is a backfill as its row has it. Its RowsDone and Batches are those of lanes that
// are gone.
type StoredBackfill struct {
	database.Backfill
	NextLane int64
}

// StoredLane is a lane as its row has it.
type StoredLane struct {
	database.Lane
	Done bool
}

// Whole returns the backfill with the lanes of its rows: those that are not done, and the numbers
// of all.
func (b StoredBackfill) Whole(lanes []StoredLane) database.Backfill {
	whole := b.Backfill
	for _, l := range lanes {
		whole.RowsDone += l.Rows
		whole.Batches += l.Batches
		if !l.Done {
			whole.Lanes = append(whole.Lanes, l.Lane)
		}
	}
	return whole
}

// Values are those of the columns of a row. time converts a time, which can be zero.
func (b StoredBackfill) Values(time func(time.Time) any) []any {
	return []any{
		b.Set, b.Version, b.Name, b.EntryID, b.Table, KeyText(b.Key), string(b.State), b.Detached,
		b.Batch, b.Target.Microseconds(), b.Parallel, b.Pause.Microseconds(), b.Timeout.Microseconds(), b.Attempts, b.Pass, KeyText(b.Head), KeyText(b.Last),
		b.RowsEstimated, b.RowsDone, b.Batches, b.NextLane, b.ThrottledBy, time(b.ThrottledAt), b.Error, time(b.StartedAt), time(b.UpdatedAt), time(b.FinishedAt),
	}
}

// Values are those of the columns of a row.
func (l StoredLane) Values(id database.BackfillID, time func(time.Time) any) []any {
	return []any{
		id.Set, id.Version, l.ID, KeyText(l.After), KeyText(l.Last), KeyText(l.At), l.Worker, time(l.LeasedUntil), l.Token,
		l.Attempts, l.Error, time(l.NotBefore), l.Failed, l.Done, l.Batch, l.Rows, l.Batches,
	}
}

// ScanBackfill reads a row of BackfillColumns.
func ScanBackfill(scan func(...any) error, parseTime func(string) (time.Time, error)) (b StoredBackfill, err error) {
	var key, head, last, state string
	var target, pause, timeout int64
	times := timeReader{parse: parseTime}
	err = scan(
		&b.Set, &b.Version, &b.Name, &b.EntryID, &b.Table, &key, &state, &b.Detached,
		&b.Batch, &target, &b.Parallel, &pause, &timeout, &b.Attempts, &b.Pass, &head, &last,
		&b.RowsEstimated, &b.RowsDone, &b.Batches, &b.NextLane, &b.ThrottledBy, times.to(&b.ThrottledAt), &b.Error,
		times.to(&b.StartedAt), times.to(&b.UpdatedAt), times.to(&b.FinishedAt))
	if err != nil {
		return b, err
	}
	b.State = database.BackfillState(state)
	b.Target, b.Pause, b.Timeout = micros(target), micros(pause), micros(timeout)
	var errs [3]error
	b.Key, errs[0] = ReadKey(key)
	b.Head, errs[1] = ReadKey(head)
	b.Last, errs[2] = ReadKey(last)
	if err := errors.Join(append(errs[:], times.read())...); err != nil {
		return b, fmt.Errorf("the row of backfill %d of set %q can't be read: %w", b.Version, b.Set, err)
	}
	return b, nil
}

// ScanLane reads a row of LaneColumns.
func ScanLane(scan func(...any) error, parseTime func(string) (time.Time, error)) (id database.BackfillID, l StoredLane, err error) {
	var after, last, at string
	times := timeReader{parse: parseTime}
	err = scan(
		&id.Set, &id.Version, &l.ID, &after, &last, &at, &l.Worker, times.to(&l.LeasedUntil), &l.Token,
		&l.Attempts, &l.Error, times.to(&l.NotBefore), &l.Failed, &l.Done, &l.Batch, &l.Rows, &l.Batches)
	if err != nil {
		return id, l, err
	}
	var errs [3]error
	l.After, errs[0] = ReadKey(after)
	l.Last, errs[1] = ReadKey(last)
	l.At, errs[2] = ReadKey(at)
	if err := errors.Join(append(errs[:], times.read())...); err != nil {
		return id, l, fmt.Errorf("the row of lane %d of backfill %d of set %q can't be read: %w", l.ID, id.Version, id.Set, err)
	}
	return id, l, nil
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// timeReader reads the times of a row, which can be missing.
type timeReader struct {
	parse func(string) (time.Time, error)
	texts []*sql.NullString
	times []*time.Time
}

func (r *timeReader) to(t *time.Time) any {
	text := new(sql.NullString)
	r.texts, r.times = append(r.texts, text), append(r.times, t)
	return text
}

func (r *timeReader) read() (err error) {
	for i, text := range r.texts {
		if text.String == "" {
			continue
		}
		at, perr := r.parse(text.String)
		*r.times[i], err = at, errors.Join(err, perr)
	}
	return err
}

// KeyText is a key, or a list of columns, as a row has it: "" for none.
func KeyText[K ~[]string](key K) string {
	if key == nil {
		return ""
	}
	b, err := json.Marshal([]string(key))
	if err != nil { // can't happen
		panic(err)
	}
	return string(b)
}

// ReadKey reads what KeyText returned.
func ReadKey(text string) (key []string, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &key); err != nil {
		return nil, fmt.Errorf("%q is no key: %w", text, err)
	}
	return key, nil
}

// NewBackfill returns what StartBackfill stores.
func NewBackfill(set string, s database.BackfillStart, t database.BackfillTarget, last database.Key, now time.Time) StoredBackfill {
	return StoredBackfill{NextLane: 1, Backfill: database.Backfill{
		BackfillID: database.BackfillID{Set: set, Version: s.Version}, Name: s.Name, EntryID: s.EntryID, Table: t.Table, Key: t.Key,
		State: database.BackfillRunning, Detached: s.Detached, BackfillLimits: s.Limits, Pass: 1, Last: last,
		RowsEstimated: t.RowsEstimated, StartedAt: now, UpdatedAt: now,
	}}
}

// Finish makes a backfill done, with the lanes that it has, or returns why it can't be.
func (b *StoredBackfill) Finish(lanes []StoredLane) error {
	whole := b.Whole(lanes)
	switch {
	case b.State != database.BackfillRunning:
		return fmt.Errorf("%w: it is %s", database.ErrBackfillStopped, b.State)
	case len(whole.Lanes) > 0 || !b.AllCut():
		return fmt.Errorf("%w: not all of its rows are changed", database.ErrBackfillStopped)
	}
	b.RowsDone, b.Batches = whole.RowsDone, whole.Batches
	b.State, b.FinishedAt, b.UpdatedAt = database.BackfillDone, b.Now, b.Now
	return nil
}

// Leased is a lane that a worker takes over.
func Leased(l database.Lane, c database.LaneClaim, now time.Time) database.Lane {
	l.Worker, l.LeasedUntil = c.Worker, now.Add(c.Lease)
	l.Token++
	return l
}

// Returned is a lane that its worker gives back, with the failure if there was one.
func Returned(l database.Lane, failure *database.LaneFailure, now time.Time) database.Lane {
	l.Worker, l.LeasedUntil = "", time.Time{}
	if failure == nil {
		return l
	}
	l.Error, l.Failed = failure.Err, failure.Final
	l.Attempts += failure.Attempts
	l.NotBefore = time.Time{}
	if failure.NotBefore > 0 {
		l.NotBefore = now.Add(failure.NotBefore)
	}
	if failure.Batch > 0 {
		l.Batch = failure.Batch
	}
	return l
}

// Moved is a lane after a batch of so many rows, which ended at a key.
func Moved(l StoredLane, at database.Key, rows int64, size int) StoredLane {
	l.At, l.Batch = at, size
	l.Rows += rows
	if rows > 0 {
		l.Batches++
	}
	l.Attempts, l.Error, l.NotBefore = 0, "", time.Time{}
	return l
}

// Render returns a statement of a backfill's body with the placeholders that param returns for the
// column of a bound, by its number. columns are the names of the key's columns; same compares
// names.
func Render(st migration.BodyStatement, d sqltext.Dialect, columns []string, same func(a, b string) bool, param func(last bool, column int) string) (string, error) {
	text := st.Parts[0]
	for i, p := range st.Params {
		from, to := 0, len(columns)
		if p.Column != "" {
			for from < to && !same(columns[from], p.Column) {
				from++
			}
			if from == to {
				return "", &sqltext.Error{
					Pos: st.PositionAt(st.Statement.Params(d)[i].From),
					Msg: ":" + boundName(p.Last) + "." + p.Column + " names no column of the key (" + strings.Join(columns, ", ") + ")",
				}
			}
			to = from + 1
		}
		for c := from; c < to; c++ {
			if c > from {
				text += ", "
			}
			text += param(p.Last, c)
		}
		text += st.Parts[i+1]
	}
	return text, nil
}

func boundName(last bool) string {
	if last {
		return "last"
	}
	return "first"
}

// Truthful reports whether the answer of a throttle's query says that the backfill must wait: true,
// or a number other than 0.
func Truthful(rows *database.Rows) (wait bool, err error) {
	if len(rows.Rows) != 1 || len(rows.Columns) != 1 {
		return false, fmt.Errorf("the query returns %d rows of %d columns, but must return one value", len(rows.Rows), len(rows.Columns))
	}
	switch v := rows.Rows[0][0].(type) {
	case bool:
		return v, nil
	case int64:
		return v != 0, nil
	case float64:
		return v != 0, nil
	case nil:
		return false, errors.New("the query returns NULL, but must return true, false or a number")
	default:
		text := fmt.Sprint(v)
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n != 0, nil
		}
		switch text {
		case "t", "true":
			return true, nil
		case "f", "false":
			return false, nil
		}
		return false, fmt.Errorf("the query returns %q, but must return true, false or a number", text)
	}
}

// QuerySignal is the answer of a throttle's query.
func QuerySignal(rows *database.Rows, err error) database.Signal {
	s := database.Signal{Name: "throttle", Err: err}
	if err == nil {
		s.Over, s.Err = Truthful(rows)
	}
	if s.Err == nil {
		s.Text = fmt.Sprintf("the query returns %v", rows.Rows[0][0])
	}
	return s
}
