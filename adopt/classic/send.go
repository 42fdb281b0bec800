package classic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/query"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// send does what is queued: in the transaction that has the lock, or in one of its own. The queue
// is empty afterwards.
func (d *driver) send() error {
	all, err := steps(d.queue)
	err = cmp.Or(d.failed, err)
	d.empty()
	if err != nil || len(all) == 0 {
		return err
	}
	st, err := d.refresh()
	if err != nil {
		return err
	}
	after, err := applied(st, all)
	if err != nil {
		return err
	}
	if err := d.perform(context.Background(), st, all); err != nil {
		_, _ = d.refresh() // some of it may have happened; the next call reports what prevents this
		return err
	}
	now := *st
	now.Applied = after
	d.state, d.index = &now, nil
	return nil
}

// applied returns what is applied after steps, and refuses steps that the state doesn't allow.
func applied(st *database.State, all []step) (*database.AppliedSet, error) {
	now := st.Applied.Clone()
	for _, s := range all {
		_, found := now.Get(s.version)
		found = found || s.direction == database.Forget && st.Interrupted != nil && st.Interrupted.Version == s.version
		switch {
		case s.removes() && !found:
			return nil, &whimbrel.NotAppliedError{Set: st.Set, Version: s.version}
		case s.removes():
			now.Remove(s.version)
		case s.version == NilVersion:
		case found:
			return nil, &whimbrel.AlreadyAppliedError{Set: st.Set, Version: s.version}
		default:
			now.Append(database.AppliedMigration{Version: s.version})
		}
	}
	return now, nil
}

// perform does steps: those of one kind with the engine's plan for them, others in one transaction.
// If a script can't be in a transaction, it does one after the other.
func (d *driver) perform(ctx context.Context, st *database.State, all []step) error {
	whole, err := d.inTransaction(ctx, st, all)
	if err != nil {
		return err
	}
	set, goal, err := d.migrations(st, all)
	switch {
	case err != nil:
		return err
	case set != nil:
		opts := d.options()
		opts.Atomic = whole && st.Interrupted == nil
		_, err := whimbrel.New(d.locked(), set, opts).Migrate(ctx, goal, whimbrel.ApplyOptions{})
		return err
	case len(all) > 1 && !whole:
		return d.oneByOne(ctx, all)
	case all[0].direction == database.Query && !whole:
		return d.statements(ctx, all[0].script)
	case all[0].direction == database.Down && !whole:
		return fmt.Errorf("version %d is not the newest applied one, and %s can't be in a transaction; remove the newer versions first", all[0].version, all[0].script.File)
	case st.Interrupted != nil && len(all) == 1 && all[0].direction == database.Forget: // may end the run
		return d.migrator(d.locked(), nil).Forget(ctx, "", all[0].version)
	case st.Interrupted != nil:
		return &whimbrel.InterruptedError{Set: st.Set, Journal: *st.Interrupted, Problem: "it must be completed first"}
	}
	return d.transaction(ctx, all)
}

// inTransaction reports whether all scripts can be in one transaction. The error lists what would
// be refused half-way.
func (d *driver) inTransaction(ctx context.Context, st *database.State, all []step) (bool, error) {
	var migrations []migration.Migration
	for i, s := range all {
		if s.script != nil {
			migrations = append(migrations, migration.Migration{Version: int64(i), Up: s.script})
		}
	}
	set, err := migration.NewSet(d.config.Set, migrations...)
	if err != nil {
		return false, err
	}
	empty := &database.State{Set: st.Set, Database: st.Database, Applied: &database.AppliedSet{}, ServerMajor: st.ServerMajor}
	m := whimbrel.New(d.locked(), set, whimbrel.Options{Atomic: true})
	_, err = m.PlanFrom(ctx, empty, whimbrel.Latest())
	if errors.As(err, new(*whimbrel.AtomicError)) {
		_, err = d.migrator(d.locked(), set).PlanFrom(ctx, empty, whimbrel.Latest())
		return false, err
	}
	return err == nil, err
}

// migrations returns steps as a set and a goal, if they are migrations that the engine would do in
// the same order: up scripts by version, or down scripts of the newest versions. Otherwise the set
// is nil.
func (d *driver) migrations(st *database.State, all []step) (*migration.Set, whimbrel.Goal, error) {
	goal := whimbrel.Latest()
	if all[0].direction == database.Down {
		goal = whimbrel.By(-len(all))
	}
	newest := st.Applied.Versions()
	var migrations []migration.Migration
	for i, s := range all {
		m := migration.Migration{Version: s.version, Name: nameOf(s)}
		switch {
		case s.direction != all[0].direction:
			return nil, goal, nil
		case s.direction == database.Up && (i == 0 || all[i-1].version < s.version):
			m.Up = s.script
			var err error
			if m.Metadata, err = carried(s.documents); err != nil {
				return nil, goal, err
			}
		case s.direction == database.Down && i < len(newest) && newest[len(newest)-1-i] == s.version && len(s.documents) == 0:
			a, _ := st.Applied.Get(s.version)
			m.Name, m.Down = a.Name, s.script
			m.Up = &migration.Script{File: s.script.File, Checksum: a.Checksum}
		default:
			return nil, goal, nil
		}
		migrations = append(migrations, m)
	}
	set, err := migration.NewSet(d.config.Set, migrations...)
	return set, goal, err
}

// oneByOne does each step by itself.
func (d *driver) oneByOne(ctx context.Context, all []step) error {
	for _, s := range all {
		st, err := d.locked().State(ctx, d.config.Set)
		if err != nil {
			return err
		}
		if err := d.perform(ctx, st, []step{s}); err != nil {
			return err
		}
	}
	return nil
}

// statements executes the statements of a script that belongs to no version and can't be in a
// transaction.
func (d *driver) statements(ctx context.Context, s *migration.Script) error {
	a, err := s.Analyze(d.db.Dialect(), d.db.Tables())
	if err != nil {
		return err
	}
	for st, err := range a.Body() {
		if err == nil {
			_, err = query.Write(ctx, d.migrator(d.locked(), nil), st.Text, query.WriteOptions{})
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.File, err)
		}
	}
	return nil
}

// transaction does steps in one transaction.
func (d *driver) transaction(ctx context.Context, all []step) error {
	m := d.migrator(d.locked(), nil)
	allowed := func(st *database.State) error {
		for _, s := range all {
			what := map[database.Direction]string{database.Down: "roll back", database.Query: "execute a script that belongs to no version"}[s.direction]
			if what == "" {
				continue
			}
			if err := whimbrel.CheckProtected(st, what, ""); err != nil {
				return err
			}
		}
		_, err := applied(st, all)
		return err
	}
	err := m.Locked(ctx, allowed, func(tx database.Tx) error {
		for _, s := range all {
			if err := d.do(ctx, tx, s); err != nil {
				return &whimbrel.MigrationError{Set: d.config.Set, Version: s.version, Name: nameOf(s), Direction: s.direction, Err: d.shown(err, s.script)}
			}
		}
		return nil
	})
	for _, s := range all {
		if err == nil {
			d.logf("%s %d", s.direction, s.version)
		}
	}
	return err
}

// do does a step in a transaction.
func (d *driver) do(ctx context.Context, tx database.Tx, s step) error {
	if s.script != nil {
		if err := tx.Exec(ctx, s.script); err != nil {
			return err
		}
		if _, err := tx.State(ctx); err != nil { // of the script, which Exec may have queued
			return err
		}
	}
	changed, err := merge(ctx, tx, s.documents)
	if err != nil || s.direction == database.Metadata && !changed {
		return err
	}
	e := database.Entry{Version: s.version, Name: nameOf(s), Direction: s.direction, ToolVersion: whimbrel.ToolVersion()}
	switch s.direction {
	case database.Up, database.Query:
		e.Checksum, e.UpDirectives = s.script.Checksum, s.script.Directives
		if !s.script.Secret {
			e.UpText, _, err = s.script.Text(whimbrel.DefaultTextLimit)
		}
		if s.direction == database.Query {
			e.UpText = s.script.Mask(e.UpText, d.db.Dialect())
		}
	case database.Down:
		e.DownChecksum, e.DownDirectives = s.script.Checksum, s.script.Directives
	}
	if err != nil {
		return err
	}
	return tx.Record(ctx, e)
}

// shown adds the lines around its place to the error of a statement, and masks passwords.
func (d *driver) shown(err error, s *migration.Script) error {
	var st *database.StatementError
	if s == nil || !errors.As(err, &st) {
		return err
	}
	if st.Pos.Line > 0 {
		st.Excerpt = s.Excerpt(st.Pos, d.db.Dialect())
	}
	var pairs []string
	for _, span := range s.Hidden(st.Statement, d.db.Dialect()) {
		if secret := st.Statement[span.From:span.To]; len(secret) > 2 {
			pairs = append(pairs, secret, sqltext.Masked)
		}
	}
	for _, text := range []*string{&st.Message, &st.Detail, &st.Hint, &st.Where, &st.Statement} {
		*text = s.Mask(strings.NewReplacer(pairs...).Replace(*text), d.db.Dialect())
	}
	return err
}
