package whimbrel

import (
	"context"
	"math"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

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
		return nil, carryError(script, "the migration carries metadata, but Options.ReadMetadata is not set; set it to metayaml.Read")
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
	st, err := database.TxMetadata(ctx, b)
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
	return database.TxPutMetadata(ctx, b, c)
}
