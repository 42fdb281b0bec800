package databasetest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

var off = database.NewSettings(database.StoredSetting{Name: database.Frozen, Value: "true"})

// states alters each State that a Database reads.
func states(alter func(d *alteredDB, st *database.State)) func(*alteredDB) {
	return func(d *alteredDB) {
		d.state = func(ctx context.Context, set string) (*database.State, error) {
			st, err := d.Database.State(ctx, set)
			if err == nil {
				alter(d, st)
			}
			return st, err
		}
	}
}

// reads alters each entry that is read.
func reads(alter func(*database.Entry)) func(*alteredDB) {
	return histories(func(all []database.Entry, _ database.HistoryQuery) []database.Entry {
		for i := range all {
			alter(&all[i])
		}
		return all
	})
}

// histories alters the list of entries that is read.
func histories(alter func([]database.Entry, database.HistoryQuery) []database.Entry) func(*alteredDB) {
	return func(d *alteredDB) {
		d.history = func(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
			return func(yield func(database.Entry, error) bool) {
				var all []database.Entry
				for e, err := range d.Database.History(ctx, q) {
					if err != nil {
						yield(e, err)
						return
					}
					all = append(all, e)
				}
				for _, e := range alter(all, q) {
					if !yield(e, nil) {
						return
					}
				}
			}
		}
	}
}

// queries alters the queries of History.
func queries(alter func(*database.HistoryQuery)) func(*alteredDB) {
	return func(d *alteredDB) {
		d.history = func(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
			alter(&q)
			return d.Database.History(ctx, q)
		}
	}
}

// records alters each entry that a transaction records.
func records(alter func(*database.Entry)) func(*alteredTx) {
	return func(tx *alteredTx) {
		tx.record = func(ctx context.Context, entries ...database.Entry) error {
			entries = slices.Clone(entries)
			for i := range entries {
				alter(&entries[i])
			}
			return tx.Tx.Record(ctx, entries...)
		}
	}
}

// opening alters the options with which a target is opened.
func opening(alter func(*database.Options)) func(*Target) {
	return func(t *Target) {
		open := t.Open
		t.Open = func(ctx context.Context, opts database.Options) (database.Database, error) {
			alter(&opts)
			return open(ctx, opts)
		}
	}
}

var readingMutants = []mutant{
	ofDB("State creates the tables", stateWritesNot, func(d *alteredDB) {
		d.state = func(ctx context.Context, set string) (*database.State, error) {
			if tx, _, err := d.Database.Begin(ctx, "created by State", database.LockOptions{}); err == nil {
				tx.Rollback(ctx)
			}
			return d.Database.State(ctx, set)
		}
	}),
	ofDB("State waits for the lock", stateWritesNot, func(d *alteredDB) {
		d.state = func(ctx context.Context, set string) (*database.State, error) {
			st, err := d.Database.State(ctx, set)
			if err != nil || st.Head == 0 {
				return st, err
			}
			tx, _, err := d.Database.Begin(ctx, set, database.LockOptions{})
			if err != nil {
				return nil, err
			}
			defer tx.Rollback(ctx)
			return tx.State(ctx)
		}
	}),
	ofDB("migrations are off until they are turned on", stateIsZero, states(func(_ *alteredDB, st *database.State) {
		if st.Head == 0 {
			st.Settings = off
		}
	})),
	ofDB("a database without a history is bare", stateBare, states(func(_ *alteredDB, st *database.State) {
		st.Bare = st.Head == 0
	})),
	ofDB("an empty history is an error", stateIsZero, func(d *alteredDB) {
		d.state = func(ctx context.Context, set string) (*database.State, error) {
			st, err := d.Database.State(ctx, set)
			if err == nil && st.Head == 0 {
				err = errors.New("no such table: whimbrel_history")
			}
			return st, err
		}
	}),
	ofDB("Head leaves out the settings", headGrows, states(func(d *alteredDB, st *database.State) {
		st.Head = 0
		for range d.Database.History(context.Background(), database.HistoryQuery{Set: st.Set}) {
			st.Head++
		}
	})),
	ofDB("Head is of all sets", headDecides, states(func(d *alteredDB, st *database.State) {
		for range d.Database.History(context.Background(), database.HistoryQuery{}) {
			st.Head++
		}
	})),
	ofDB("Head is the newest id", headNeverSleeps, states(func(d *alteredDB, st *database.State) {
		st.Head = 0
		for e := range d.Database.History(context.Background(), database.HistoryQuery{}) {
			if e.Set == st.Set || e.Set == migration.ReservedSet {
				st.Head = e.ID
			}
		}
	})),
	ofDB("State has no marked versions", foldDecides, states(func(_ *alteredDB, st *database.State) {
		for a := range database.NewAppliedSet(slices.Collect(st.Applied.All())...).All() {
			if a.Marked {
				st.Applied.Remove(a.Version)
			}
		}
	})),
	ofDB("a default counts as stored", settingDefault, states(func(_ *alteredDB, st *database.State) {
		if v, _ := st.Settings.Get(database.Frozen); v.IsDefault && st.Head > 0 {
			st.Settings = database.NewSettings(database.StoredSetting{Name: database.Frozen, Value: "false"})
		}
	})),
	ofDB("a setting's update isn't in the history", settingUpdate, histories(func(all []database.Entry, _ database.HistoryQuery) []database.Entry {
		return slices.DeleteFunc(all, func(e database.Entry) bool { return e.Direction == database.Setting })
	})),
	{"settings are stored as they are written", settingCheck, func() alteration {
		var raw string
		return alteration{db: func(d *alteredDB) {
			states(func(_ *alteredDB, st *database.State) {
				if raw != "" {
					st.Settings = database.NewSettings(database.StoredSetting{Name: database.Frozen, Value: raw})
				}
			})(d)
			d.update = func(ctx context.Context, u database.SettingUpdate) error {
				raw = u.Value
				return d.Database.UpdateSetting(ctx, u)
			}
		}}
	}},
	ofDB("unknown settings are ignored", settingError, func(d *alteredDB) {
		d.update = func(ctx context.Context, u database.SettingUpdate) error {
			var unknown *database.SettingError
			if err := d.Database.UpdateSetting(ctx, u); !errors.As(err, &unknown) {
				return err
			}
			return nil
		}
	}),
	ofDB("unset stores the default", settingGone, func(d *alteredDB) {
		d.update = func(ctx context.Context, u database.SettingUpdate) error {
			if u.Unset {
				u.Unset, u.Value = false, "true"
			}
			return d.Database.UpdateSetting(ctx, u)
		}
	}),
	ofDB("a setting does not wait", settingSettles, func(d *alteredDB) {
		d.update = func(ctx context.Context, u database.SettingUpdate) error {
			if u.Settle != nil && u.Settle.Timeout > time.Second {
				u.Settle = nil
			}
			return d.Database.UpdateSetting(ctx, u)
		}
	}),
	ofDB("a setting whose timeout ends returns no error", settingStays, func(d *alteredDB) {
		d.update = func(ctx context.Context, u database.SettingUpdate) error {
			err := d.Database.UpdateSetting(ctx, u)
			var unsettled *database.UnsettledError
			if errors.As(err, &unsettled) {
				return nil
			}
			return err
		}
	}),
	ofDB("settings never expire", settingExpires, func(d *alteredDB) {
		d.update = func(ctx context.Context, u database.SettingUpdate) error {
			u.Until = time.Time{}
			return d.Database.UpdateSetting(ctx, u)
		}
	}),
	ofDB("Tables returns the names of the options", tablesAreLower, func(d *alteredDB) {
		d.tables = func() []string { n := d.opts.TableNames(); return []string{n.History, n.Settings} }
	}),
	ofTarget("the history's name is ignored", historyName, func(t *Target) {
		opening(func(o *database.Options) { o.HistoryTable = "" })(t)
	}),
	ofDB("a schema is not created", schemaIsCreated, func(d *alteredDB) {
		d.begin = func(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
			if d.opts.Schema != "" {
				return nil, database.Found{}, errors.New("schema does not exist")
			}
			return d.Database.Begin(ctx, set, opts)
		}
	}),
	ofTarget("notices are dropped", noticeIsCalled, opening(func(o *database.Options) { o.Notice = nil })),
	ofTarget("Whimbrel's tables are missing", beginCreates, func(t *Target) {
		tables := t.Tables
		t.Tables = func(ctx context.Context) ([]string, error) {
			names, err := tables(ctx)
			return slices.DeleteFunc(names, func(n string) bool { return strings.HasPrefix(n, "whimbrel_") }), err
		}
	}),
	ofDB("Close can be called once", closeTwice, func(d *alteredDB) {
		closed := false
		d.close = func() error {
			if closed {
				return errors.New("it is closed")
			}
			closed = true
			return d.Database.Close()
		}
	}),
	ofDB("Close ends nothing", closeEnds, func(d *alteredDB) {
		d.close = func() error { return nil }
	}),
	ofDB("a cancelled context is ignored", cancelling, func(d *alteredDB) {
		d.update = func(ctx context.Context, u database.SettingUpdate) error {
			return d.Database.UpdateSetting(context.WithoutCancel(ctx), u)
		}
	}),
}

var historyMutants = []mutant{
	ofDB("the history is newest first", historyInOrder, histories(func(all []database.Entry, _ database.HistoryQuery) []database.Entry {
		slices.Reverse(all)
		return all
	})),
	ofDB("the history continues after an error", historyErrors, func(d *alteredDB) {
		d.history = func(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
			return func(yield func(database.Entry, error) bool) {
				for e, err := range d.Database.History(ctx, q) {
					if !yield(e, err) || err != nil && !yield(e, err) {
						return
					}
				}
			}
		}
	}),
	ofDB("the history is of all sets", historySet, queries(func(q *database.HistoryQuery) { q.Set = "" })),
	ofDB("version 0 means all", historyVersion, queries(func(q *database.HistoryQuery) {
		if q.Version != nil && *q.Version == 0 {
			q.Version = nil
		}
	})),
	ofDB("texts are always read", historyTexts, queries(func(q *database.HistoryQuery) { q.Texts = true })),
	ofDB("texts are never read", historyTexts, queries(func(q *database.HistoryQuery) { q.Texts = false })),
	ofDB("entries of versions that were rolled back are removed", historyAppends, histories(func(all []database.Entry, _ database.HistoryQuery) []database.Entry {
		for i, e := range all {
			if e.Direction == database.Down {
				return slices.DeleteFunc(all[:i], func(up database.Entry) bool { return up.Version == e.Version })
			}
		}
		return all
	})),
	ofDB("ids count down", entryID, reads(func(e *database.Entry) { e.ID = 1000 - e.ID })),
	ofDB("times are in some zone", entryTimes, reads(func(e *database.Entry) { e.StartedAt = e.StartedAt.In(time.FixedZone("", 3600)) })),
	ofDB("times are in seconds", entryTimes, reads(func(e *database.Entry) { e.StartedAt = e.StartedAt.Truncate(time.Second) })),
	ofTx("an empty down script is none", entryTexts, records(func(e *database.Entry) { e.HasDownText = e.DownText != "" })),
	ofTx("the up script's directives are lost", entryDirectives, records(func(e *database.Entry) { e.UpDirectives = migration.Directives{} })),
	ofTx("the down script has the up script's directives", entryDirectives, records(func(e *database.Entry) { e.DownDirectives = e.UpDirectives })),
	ofTx("the down script's directives are lost", entryDirectives, records(func(e *database.Entry) { e.DownDirectives = migration.Directives{} })),
	ofDB("the history is of all IDs", historyID, queries(func(q *database.HistoryQuery) { q.ID = 0 })),
	ofDB("the history is of all times", historySince, queries(func(q *database.HistoryQuery) { q.Since = time.Time{} })),
	ofDB("the history is always in its order", historyNewest, queries(func(q *database.HistoryQuery) { q.Newest = false })),
	ofDB("the history has no limit", historyLimit, queries(func(q *database.HistoryQuery) { q.Limit = 0 })),
	ofDB("the limit counts entries of other sets", historyLimit, func(d *alteredDB) {
		d.history = func(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
			return func(yield func(database.Entry, error) bool) {
				all := q
				all.Set = ""
				for e, err := range d.Database.History(ctx, all) {
					if (q.Set == "" || e.Set == q.Set) && !yield(e, err) {
						return
					}
				}
			}
		}
	}),
	ofTx("the error of a failed attempt is lost", entryFailed, records(func(e *database.Entry) { e.Error = "" })),
	ofTx("the direction of a failed attempt is lost", entryFailed, records(func(e *database.Entry) { e.Tried = "" })),
	ofTx("the number of retries is lost", entryRetries, records(func(e *database.Entry) { e.Retries = 0 })),
	ofTx("the wait for locks is kept in milliseconds", entryRetries, records(func(e *database.Entry) { e.LockWait = e.LockWait.Truncate(time.Millisecond) })),
	ofDB("the actor is not kept", entryWho, reads(func(e *database.Entry) { e.Actor = "" })),
	ofDB("the application is not kept", entryWho, reads(func(e *database.Entry) { e.App = "" })),
	ofTx("the reason is lost", txRecord, records(func(e *database.Entry) { e.Reason = "" })),
	ofTx("the remark is lost", txRecord, records(func(e *database.Entry) { e.Remark = "" })),
	ofTx("the checksum of the down script is lost", txRecord, records(func(e *database.Entry) { e.DownChecksum = migration.Checksum{} })),
	ofTx("a missing time is 1970", txRecordTimes, records(func(e *database.Entry) {
		if e.StartedAt.IsZero() {
			e.StartedAt = time.Unix(0, 0)
		}
	})),
	ofTx("white space is trimmed from names", namesAreData, records(func(e *database.Entry) { e.Name = strings.TrimSpace(e.Name) })),
	ofTx("a CR before an LF is lost", namesAreData, records(func(e *database.Entry) { e.UpText = strings.ReplaceAll(e.UpText, "\r\n", "\n") })),
	ofDB("sets are the same in upper and lower case", namesAreData, func(d *alteredDB) {
		d.begin = func(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
			return d.Database.Begin(ctx, strings.ToLower(set), opts)
		}
	}),
}
