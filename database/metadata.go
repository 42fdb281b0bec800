package database

import (
	"context"

	"github.com/whimbrel-db/whimbrel/metadata"
)

// MetadataDriver is the part of a Database that has to do with the metadata that the target keeps:
// facts about its objects, see package metadata.
type MetadataDriver interface {
	// Metadata reads the entries that the target keeps, and the objects that it has, as they are at one
	// moment, and writes nothing. The objects of Whimbrel's own, the server's and an
	// extension's are not among them. A target that was never given metadata has no entries.
	Metadata(ctx context.Context) (*metadata.State, error)
	// Query executes one statement that reads, outside of any batch and without the migration lock, and returns its rows,
	// all of them. It changes nothing: a statement that may change something is an error that is ErrReadOnly. The session
	// is put back as it was. The error is a *StatementError, whose place is in the file "query".
	Query(ctx context.Context, statement string) (*Rows, error)
}

// MetadataBatch is the part of a Batch that has to do with metadata.
type MetadataBatch interface {
	// Metadata is Database.Metadata as it stands under the lock, with what the batch has done. From then
	// on no other batch, whatever its set is, changes the entries until this one is over: it waits for one that is at it, or
	// returns a *LockedError after a while. What is queued is executed first, and its error may come here.
	Metadata(ctx context.Context) (*metadata.State, error)
	// PutMetadata makes the entries of a change all that the target keeps, and its comments those of
	// the objects. It creates the table for them if it is missing. It waits for other batches as Metadata does.
	PutMetadata(ctx context.Context, change *metadata.Change) error
	// Query executes one statement in the transaction, whatever it is, and returns its rows, all of them. What it changes is there
	// when the batch is committed. The session is put back as it was. The error is a *StatementError, whose place is in the file "query".
	Query(ctx context.Context, statement string) (*Rows, error)
}

// QueryFile is the name of the file in which the place of an error of [MetadataDriver].Query is.
const QueryFile = "query"

// Rows are what a statement answered.
type Rows struct {
	// Columns are the names of the columns; nil for a statement that returns no rows by its nature.
	Columns []string
	// Rows have a value for each column: nil, bool, int64, float64, json.Number, or string. What is
	// of another type is text as the database writes it; bytes are \x and hexadecimal digits. A number that JSON can't
	// hold is the text "Infinity", "-Infinity" or "NaN".
	Rows [][]any
	// Changed is the number of rows that the statement changed.
	Changed int64
}
