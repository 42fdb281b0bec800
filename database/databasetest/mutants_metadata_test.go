package databasetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// metadatas alters the metadata that is read.
func metadatas(alter func(*metadata.State)) func(*alteredDB) {
	return func(d *alteredDB) {
		d.metadata = func(ctx context.Context) (*metadata.State, error) {
			s, err := d.Database.Metadata(ctx)
			if err == nil {
				alter(s)
			}
			return s, err
		}
	}
}

// puts alters the metadata that is written.
func puts(alter func(*metadata.Change)) func(*alteredTx) {
	return func(tx *alteredTx) {
		tx.put = func(ctx context.Context, c *metadata.Change) error {
			other := *c
			alter(&other)
			return tx.Tx.PutMetadata(ctx, &other)
		}
	}
}

// answers alters the rows that a query returns.
func answers(alter func(*database.Rows)) func(*alteredDB) {
	return func(d *alteredDB) {
		d.query = func(ctx context.Context, statement string) (*database.Rows, error) {
			rows, err := d.Database.Query(ctx, statement)
			if err == nil {
				alter(rows)
			}
			return rows, err
		}
	}
}

var metadataMutants = []mutant{
	ofDB("an untouched target has an entry", metadataNone, metadatas(func(s *metadata.State) {
		if len(s.Entries) == 0 {
			s.Entries = append(s.Entries, metadata.Stored{})
		}
	})),
	ofDB("reading the metadata creates tables", metadataReads, func(d *alteredDB) {
		d.metadata = func(ctx context.Context) (*metadata.State, error) {
			tx, _, err := d.Database.Begin(ctx, "s", patient)
			if err != nil {
				return nil, err
			}
			defer tx.Rollback(ctx)
			return database.TxMetadata(ctx, tx)
		}
	}),
	ofDB("columns are no objects", metadataReads, metadatas(func(s *metadata.State) {
		s.Objects = slices.DeleteFunc(s.Objects, func(o metadata.Object) bool { return o.Name.Column != "" })
	})),
	ofDB("Whimbrel's own tables are objects", metadataNotOwn, func(d *alteredDB) {
		metadatas(func(s *metadata.State) {
			s.Objects = append(s.Objects, metadata.Object{Name: metadata.Name{Kind: metadata.Table, Object: d.Database.Tables()[0]}})
		})(d)
	}),
	ofTx("entries do not replace earlier ones", metadataPut, func(tx *alteredTx) {
		tx.put = func(ctx context.Context, c *metadata.Change) error {
			s, err := tx.Tx.Metadata(ctx)
			if err != nil {
				return err
			}
			return tx.Tx.PutMetadata(ctx, &metadata.Change{Entries: append(s.Entries, c.Entries...), Comments: c.Comments})
		}
	}),
	ofTx("free keys are lost", metadataPut, puts(func(c *metadata.Change) {
		c.Entries = slices.Clone(c.Entries)
		for i := range c.Entries {
			c.Entries[i].Keys = nil
		}
	})),
	ofTx("comments are lost", metadataPut, puts(func(c *metadata.Change) { c.Comments = nil })),
	ofTx("a transaction does not see what it wrote", metadataTx, func(tx *alteredTx) {
		tx.metadata = func(ctx context.Context) (*metadata.State, error) {
			s, err := tx.Tx.Metadata(ctx)
			if err == nil {
				s.Entries = nil
			}
			return s, err
		}
	}),
	ofTx("metadata is visible before Commit", metadataTx, func(tx *alteredTx) {
		tx.put = func(ctx context.Context, c *metadata.Change) error {
			other, _, err := tx.db.Database.Begin(ctx, "aside", patient)
			if err != nil {
				return err
			}
			defer other.Rollback(ctx)
			if err := database.TxPutMetadata(ctx, other, &metadata.Change{Entries: []metadata.Stored{{Name: metadata.Name{Kind: metadata.Table, Object: "t"}}}}); err != nil {
				return err
			}
			if _, err := other.Commit(ctx); err != nil {
				return err
			}
			return tx.Tx.PutMetadata(ctx, c)
		}
	}),
	ofTx("reading metadata in a transaction does not wait", metadataAlone, func(tx *alteredTx) {
		tx.metadata = func(ctx context.Context) (*metadata.State, error) { return tx.db.Database.Metadata(ctx) }
	}),
	ofTx("entries of other transactions are overwritten", metadataOne, func(tx *alteredTx) {
		if tx.set == "another" {
			tx.metadata = func(ctx context.Context) (*metadata.State, error) { return tx.db.Database.Metadata(ctx) }
		}
	}),
	ofDB("every query fails", queryPasses, func(d *alteredDB) {
		d.query = func(context.Context, string) (*database.Rows, error) { return nil, errors.New("no") }
	}),
	ofDB("the columns have no names", rowsColumns, answers(func(r *database.Rows) { clear(r.Columns) })),
	ofDB("the last row is missing", rowsValues, answers(func(r *database.Rows) { r.Rows = r.Rows[:max(len(r.Rows)-1, 0)] })),
	ofDB("NULL is a text", rowsValues, answers(func(r *database.Rows) {
		for _, row := range r.Rows {
			for i := range row {
				if row[i] == nil {
					row[i] = ""
				}
			}
		}
	})),
	ofDB("numbers are texts", rowsValues, answers(func(r *database.Rows) {
		for _, row := range r.Rows {
			row[0] = fmt.Sprint(row[0])
		}
	})),
	ofDB("a query writes", queryReads, func(d *alteredDB) {
		d.query = func(ctx context.Context, statement string) (*database.Rows, error) {
			rows, err := d.Database.Query(ctx, statement)
			if !errors.Is(err, database.ErrReadOnly) {
				return rows, err
			}
			tx, _, err := d.Database.Begin(ctx, "s", patient)
			if err != nil {
				return nil, err
			}
			defer tx.Rollback(ctx)
			if rows, err = database.TxQuery(ctx, tx, statement); err != nil {
				return nil, err
			}
			return rows, commitTx(ctx, tx)
		}
	}),
	ofTx("a query in a transaction does nothing", txQueryEnds, func(tx *alteredTx) {
		tx.query = func(context.Context, string) (*database.Rows, error) { return &database.Rows{}, nil }
	}),
	ofTx("a query in a transaction is refused", txQuery, func(tx *alteredTx) {
		tx.query = func(context.Context, string) (*database.Rows, error) { return nil, database.ErrReadOnly }
	}),
	ofDB("a query's error has no place", queryError, func(d *alteredDB) {
		d.query = func(ctx context.Context, statement string) (*database.Rows, error) {
			rows, err := d.Database.Query(ctx, statement)
			if err != nil {
				err = errors.New(err.Error())
			}
			return rows, err
		}
	}),
	{"a query's session stays", querySess, func() alteration {
		changed := ""
		return alteration{
			tx: func(tx *alteredTx) {
				tx.query = func(ctx context.Context, statement string) (*database.Rows, error) {
					changed = statement
					return tx.Tx.Query(ctx, statement)
				}
				tx.run = func(ctx context.Context, s *migration.Script) error {
					whole, _, err := s.Text(1 << 20)
					if err != nil || changed == "" {
						return err
					}
					return tx.Tx.Exec(ctx, text(changed+"; "+whole))
				}
			},
		}
	}},
}
