package whimbrel

import (
	"context"
	"math"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// readMetadata reads the metadata of a move's migration, or, for a baseline, of the migrations
// that it includes. A rollback omits the metadata if the options can't read it.
func (m *Migrator) readMetadata(mv move) (all []*metadata.Document, err error) {
	scripts := []*migration.Script{mv.metadata}
	for _, mig := range mv.marks {
		scripts = append(scripts, mig.Metadata)
	}
	for _, script := range scripts {
		switch {
		case script == nil, m.opts.ReadMetadata == nil && mv.direction == database.Down:
			continue
		case m.opts.ReadMetadata == nil:
			return nil, &metadata.Error{
				Position: metadata.Position{File: script.File, Line: 1, Column: 1},
				Msg:      "the migration carries metadata, but Options.ReadMetadata is not set; set it to metayaml.Read",
			}
		}
		text, _, err := script.Text(math.MaxInt64)
		if err != nil {
			return nil, err
		}
		d, err := m.opts.ReadMetadata(script.File, text)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// carry puts the metadata that a migration carries into the database, or removes it again as far as
// it is still the same.
func carry(ctx context.Context, b database.Tx, s Step) error {
	st, err := database.TxMetadata(ctx, b)
	if err != nil {
		return err
	}
	var c *metadata.Change
	switch s.Direction {
	case database.Down:
		c = st.Unmerge(s.metadata[0])
	case database.Baseline, database.Load: // what later migrations have dropped is not in it
		c, err = st.Merge(st.Known(s.metadata...))
	default:
		c, err = st.Merge(s.metadata[0])
	}
	if err != nil || st.Has(c) {
		return err
	}
	return database.TxPutMetadata(ctx, b, c)
}
