package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// What can be done to the metadata, as the history names it.
const (
	applyMetadata  = "apply"
	resetMetadata  = "reset"
	reloadMetadata = "reload"
	dropMetadata   = "drop-inconsistent"
)

// metadataWord is what a protected database refuses.
const metadataWord = "reset the metadata"

// MetadataOptions of the methods of a Migrator that change the metadata.
type MetadataOptions struct {
	// DryRun changes nothing and locks nothing: the result says what would have happened.
	DryRun bool
	// Note is kept in the history.
	Note string
	// Overrule allows a reset where the setting "protected" is true, and must be the database's name.
	Overrule string
}

// MetadataResult is what became of the metadata, or would have.
type MetadataResult struct {
	Action  string // apply, reset, reload, drop-inconsistent
	Entries int    // that there are now
	// Changes are what is different from before, ordered by name.
	Changes []metadata.Difference
	// Comments are those of the database's objects that were set or, where they are empty, removed.
	Comments []metadata.Comment
	DryRun   bool
	Duration time.Duration
}

// Metadata returns the metadata that the database keeps.
func (m *Migrator) Metadata(ctx context.Context) (*metadata.Document, error) {
	s, err := m.usable().db.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	return s.Document(), nil
}

// ApplyMetadata makes a document all the metadata that the database keeps: in one transaction,
// under the migration lock, with an event in the history. Where nothing changes nothing is written. What it
// does to comments is said by [metadata.State.Apply].
//
// The errors of this and of the other methods that change the metadata: metadata.Errors for entries whose
// objects the database doesn't have, *FrozenError for a database whose migrations are switched off,
// *database.LockedError; nothing is changed then.
func (m *Migrator) ApplyMetadata(ctx context.Context, d *metadata.Document, opts MetadataOptions) (*MetadataResult, error) {
	if d == nil { // an empty document drops everything, so somebody must have meant it
		return nil, errors.New("ApplyMetadata was given a nil document; pass the one that metayaml.Read or metadata.NewDocument returned, and check its error")
	}
	return m.changeMetadata(ctx, applyMetadata, opts, func(s *metadata.State) (*metadata.Change, error) { return s.Apply(d) })
}

// ResetMetadata drops all metadata. A database whose setting "protected" is true is a
// *ProtectedError, unless opts.Overrule is its name.
func (m *Migrator) ResetMetadata(ctx context.Context, opts MetadataOptions) (*MetadataResult, error) {
	return m.changeMetadata(ctx, resetMetadata, opts, func(s *metadata.State) (*metadata.Change, error) { return s.Reset(), nil })
}

// ReloadMetadata takes into the metadata what people have changed in the database by hand: see
// [metadata.State.Reload].
func (m *Migrator) ReloadMetadata(ctx context.Context, opts MetadataOptions) (*MetadataResult, error) {
	return m.changeMetadata(ctx, reloadMetadata, opts, func(s *metadata.State) (*metadata.Change, error) { return s.Reload(), nil })
}

// InconsistentMetadata returns the entries whose objects are gone, have another name, or are others
// now.
func (m *Migrator) InconsistentMetadata(ctx context.Context) ([]metadata.Inconsistent, error) {
	s, err := m.usable().db.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	return s.Inconsistent(), nil
}

// DropInconsistentMetadata drops the entries that InconsistentMetadata returns.
func (m *Migrator) DropInconsistentMetadata(ctx context.Context, opts MetadataOptions) (*MetadataResult, error) {
	return m.changeMetadata(ctx, dropMetadata, opts, func(s *metadata.State) (*metadata.Change, error) { return s.DropInconsistent(), nil })
}

// CheckMetadata returns the objects that lack required facts, and how many it has looked at.
func (m *Migrator) CheckMetadata(ctx context.Context, r metadata.Rules) (missing []metadata.Missing, checked int, err error) {
	s, err := m.usable().db.Metadata(ctx)
	if err != nil {
		return nil, 0, err
	}
	return s.Check(r)
}

// changeMetadata makes of the metadata what change says of it.
func (m *Migrator) changeMetadata(ctx context.Context, action string, opts MetadataOptions, change func(*metadata.State) (*metadata.Change, error)) (*MetadataResult, error) {
	m = m.with(ApplyOptions{Note: opts.Note, Overrule: opts.Overrule})
	start := time.Now()
	r := &MetadataResult{Action: action, DryRun: opts.DryRun}
	err := m.tryMetadata(ctx, r, change)
	r.Duration = time.Since(start)
	if err != nil {
		r.Entries, r.Changes, r.Comments = 0, nil, nil
	}
	return r, err
}

func (m *Migrator) tryMetadata(ctx context.Context, r *MetadataResult, change func(*metadata.State) (*metadata.Change, error)) (err error) {
	before, err := m.usable().db.Metadata(ctx)
	if err != nil {
		return err
	}
	c, err := change(before) // what can be refused is, before anything is locked or created
	if err != nil {
		return err
	}
	if r.DryRun {
		r.became(before, c)
		return nil
	}
	st, err := m.db.State(ctx, m.set.Name())
	if err == nil {
		err = m.mayChangeMetadata(st, r.Action)
	}
	if err != nil {
		return err
	}
	if before.Has(c) {
		r.became(before, c)
		return nil
	}
	b, _, err := m.db.Begin(ctx, m.set.Name(), m.lockOptions(st.Settings))
	if err != nil {
		return err
	}
	defer func() {
		if rerr := b.Rollback(ctx); err == nil {
			err = rerr
		}
	}()
	if st, err = b.State(ctx); err == nil { // the settings may have changed
		err = m.mayChangeMetadata(st, r.Action)
	}
	if err != nil {
		return err
	}
	if before, err = b.Metadata(ctx); err != nil {
		return err
	}
	if c, err = change(before); err != nil {
		return err
	}
	r.became(before, c)
	if before.Has(c) {
		return nil
	}
	if err := b.PutMetadata(ctx, c); err != nil {
		return err
	}
	e := database.Entry{Version: NilVersion, Name: r.Action, Direction: database.Metadata, ToolVersion: ToolVersion(), Note: m.opts.Note}
	if e.Note == "" {
		e.Note = r.summary()
	}
	if err := b.Record(ctx, e); err != nil {
		return err
	}
	_, err = b.Commit(ctx)
	return err
}

func (m *Migrator) mayChangeMetadata(st *database.State, action string) error {
	if err := checkMode(st.Settings); err != nil {
		return err
	}
	if action == resetMetadata {
		return checkProtected(st, metadataWord, m.opts.Overrule)
	}
	return nil
}

func (r *MetadataResult) became(before *metadata.State, c *metadata.Change) {
	after := c.Document()
	r.Entries, r.Changes, r.Comments = after.Len(), metadata.Diff(before.Document(), after), c.Comments
}

// summary counts the entries that are new, other, and gone.
func (r *MetadataResult) summary() string {
	count := map[string]int{}
	last := metadata.Name{}
	for _, d := range r.Changes {
		if d.Change != metadata.Changed || d.Name != last {
			count[d.Change]++
		}
		last = d.Name
	}
	var words []string
	for _, change := range []string{metadata.Added, metadata.Changed, metadata.Removed} {
		if n := count[change]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, change))
		}
	}
	if n := len(r.Comments); n > 0 {
		words = append(words, fmt.Sprintf("%d comments", n))
	}
	return strings.Join(words, ", ")
}

// carried is the metadata that a migration carries, and its file.
type carried struct {
	file      string
	documents []*metadata.Document // nil for none
}

// carried returns the metadata that a move's migration carries. A baseline carries what the
// migrations do that it stands for.
func (m *Migrator) carried(mv move) (c carried, err error) {
	if mv.direction == database.Baseline {
		c.documents, err = m.carriedByMarks(mv)
		return c, err
	}
	script := m.metadataScript(mv)
	if script == nil || m.opts.ReadMetadata == nil && mv.direction == database.Down {
		return c, nil
	}
	d, err := m.readCarried(script)
	return carried{file: script.File, documents: []*metadata.Document{d}}, err
}

func (m *Migrator) carriedByMarks(mv move) (all []*metadata.Document, err error) {
	for _, mig := range mv.marks {
		if mig.Metadata == nil {
			continue
		}
		d, err := m.readCarried(mig.Metadata)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

func (m *Migrator) readCarried(script *migration.Script) (*metadata.Document, error) {
	if m.opts.ReadMetadata == nil {
		return nil, carryError(script, "the migration carries metadata, and Options.ReadMetadata does not say how it is read; set it to metayaml.Read")
	}
	text, _, err := script.Text(math.MaxInt64)
	if err != nil {
		return nil, err
	}
	return m.opts.ReadMetadata(script.File, text)
}

func carryError(script *migration.Script, msg string) error {
	return &metadata.Error{Position: metadata.Position{File: script.File, Line: 1, Column: 1}, Msg: msg}
}

func (m *Migrator) metadataScript(mv move) *migration.Script {
	if mv.direction != database.Up && mv.direction != database.Down {
		return nil
	}
	for _, get := range []func(int64) (migration.Migration, bool){m.set.Get, m.set.Original} {
		mig, ok := get(mv.version)
		if ok && (mv.up == mig.Up || mv.direction == database.Down && mig.Up.Checksum == mv.applied.Checksum) {
			return mig.Metadata
		}
	}
	return nil
}

// carry puts the metadata that a migration carries into the database, or takes back what is left
// of it.
func carry(ctx context.Context, b database.Tx, s Step) error {
	st, err := b.Metadata(ctx)
	if err != nil {
		return err
	}
	var c *metadata.Change
	switch s.Direction {
	case database.Down:
		c = st.Unmerge(s.metadata[0])
	case database.Baseline: // what later migrations have dropped is not in it
		c, err = st.Merge(st.Known(s.metadata...))
	default:
		c, err = st.Merge(s.metadata[0])
	}
	if err != nil || st.Has(c) {
		return err
	}
	return b.PutMetadata(ctx, c)
}
