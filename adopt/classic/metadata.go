package classic

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/yamltext"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/metadata/metadb"
	"github.com/whimbrel-db/whimbrel/metadata/metayaml"
	"github.com/whimbrel-db/whimbrel/migration"
)

// MetadataDriver keeps a document of facts about the objects of a database in the database.
type MetadataDriver interface {
	// ExportMetadata returns the document as maps, lists and scalars, which any YAML or JSON library
	// can write.
	ExportMetadata() (any, error)

	// ResetMetadata drops all metadata. A protected database refuses.
	ResetMetadata() error

	// ReloadMetadata takes changes that were made in the database itself into the metadata.
	ReloadMetadata() error

	// GetInconsistentMetadata returns the entries whose objects are missing, renamed or replaced,
	// and whether there are none.
	GetInconsistentMetadata() (bool, []InconsistentMetadataInterface, error)

	// DropInconsistentMetadata drops these entries.
	DropInconsistentMetadata() error

	// ApplyMetadata replaces all metadata by a document: what ExportMetadata returns or a YAML or
	// JSON library has read, a *metadata.Document, or its text as a string or bytes.
	ApplyMetadata(data any) error

	// Query executes requests in one transaction. A request is SQL as a string, or a map with
	// type: run_sql and args: {sql: …}.
	Query(data []any) error
}

// InconsistentMetadataInterface is an entry whose object is missing, renamed or replaced.
type InconsistentMetadataInterface interface {
	GetType() string
	GetName() string
	GetDescription() string
	GetReason() string
}

// inconsistent is an InconsistentMetadataInterface.
type inconsistent struct{ metadata.Inconsistent }

func (i inconsistent) GetType() string        { return i.Name.Kind.Type() }
func (i inconsistent) GetName() string        { return i.Name.String() }
func (i inconsistent) GetDescription() string { return i.Description }
func (i inconsistent) GetReason() string      { return i.Reason }

func (d *driver) ExportMetadata() (any, error) {
	st, err := d.metadata()
	if err != nil {
		return nil, err
	}
	exported := map[string]any{}
	return exported, yaml.Unmarshal([]byte(metayaml.Write(st.Document())), &exported)
}

func (d *driver) GetInconsistentMetadata() (bool, []InconsistentMetadataInterface, error) {
	st, err := d.metadata()
	if err != nil {
		return false, nil, err
	}
	all := []InconsistentMetadataInterface{}
	for _, in := range st.Inconsistent() {
		all = append(all, inconsistent{in})
	}
	return len(all) == 0, all, nil
}

// metadata reads the metadata, under the lock with the connection that has it.
func (d *driver) metadata() (*metadata.State, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held != nil {
		return database.TxMetadata(context.Background(), d.held.tx)
	}
	return database.ReadMetadata(context.Background(), d.db)
}

func (d *driver) ResetMetadata() error { return d.changeMetadata("ResetMetadata", metadb.Reset) }

func (d *driver) ReloadMetadata() error { return d.changeMetadata("ReloadMetadata", metadb.Reload) }

func (d *driver) DropInconsistentMetadata() error {
	return d.changeMetadata("DropInconsistentMetadata", metadb.DropInconsistent)
}

// changeMetadata makes one of the changes of package metadb.
func (d *driver) changeMetadata(method string, change func(context.Context, *whimbrel.Migrator, metadb.Options) (*metadb.Result, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.unlocked(method); err != nil {
		return err
	}
	_, err := change(context.Background(), d.migrator(d.db, nil), metadb.Options{})
	return exactly(err)
}

func (d *driver) ApplyMetadata(data any) error {
	doc, err := document(data)
	if err != nil {
		return err
	}
	return d.changeMetadata("ApplyMetadata", func(ctx context.Context, m *whimbrel.Migrator, opts metadb.Options) (*metadb.Result, error) {
		return metadb.Apply(ctx, m, doc, opts)
	})
}

// document returns the document of an argument of ApplyMetadata.
func document(data any) (*metadata.Document, error) {
	const name = "metadata"
	switch data := data.(type) {
	case nil:
		return nil, errors.New("ApplyMetadata needs a document, not nil; ResetMetadata drops all metadata")
	case *metadata.Document:
		return data, nil
	case string:
		return metayaml.Read(name, data)
	case []byte:
		return metayaml.Read(name, string(data))
	}
	text, err := yaml.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("ApplyMetadata can't read a %T: %w", data, err)
	}
	return metayaml.Read(name, string(text))
}

func (d *driver) Query(data []any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.unlocked("Query"); err != nil {
		return err
	}
	if len(d.queue) > 0 || d.failed != nil {
		return errors.New("Query would send what is queued; call UnLock or ResetQuery first")
	}
	items, err := d.sql("query", data)
	if err != nil {
		return err
	}
	d.queue = items
	return exactly(d.send())
}

// requests returns what a file of type meta contains: a metadata document, or a list of requests.
func (d *driver) requests(file string, text []byte) ([]item, error) {
	if all := listOf(string(text)); all != nil {
		return d.sql(file, all)
	}
	doc, err := metayaml.Read(file, string(text))
	if err != nil || doc.Len() == 0 {
		return nil, err
	}
	return []item{{document: doc}}, nil
}

// listOf returns the values of a YAML list; nil for any other text.
func listOf(text string) (all []any) {
	if yamltext.Check(text, yamltext.Limits{Bytes: metayaml.MaxSize, Signs: 1 << 19}) != nil {
		return nil
	}
	f, err := yamltext.Parse(text)
	if err != nil || len(f.Docs) != 1 || yamltext.Expanded(f, metayaml.MaxSize) > metayaml.MaxSize {
		return nil
	}
	list, ok := f.Docs[0].Body.(*ast.SequenceNode)
	if !ok || yaml.NodeToValue(list, &all) != nil {
		return nil
	}
	return all
}

// request is an item of Query, or of a file of type meta that is a list.
type request struct {
	Type string `yaml:"type"`
	Args struct {
		SQL string `yaml:"sql"`
		// Both ask the original server for more than SQL.
		Cascade  bool `yaml:"cascade"`
		ReadOnly bool `yaml:"read_only"`
	} `yaml:"args"`
}

// sql returns the scripts of a list of requests.
func (d *driver) sql(file string, data []any) ([]item, error) {
	var all []item
	for i, r := range data {
		text, ok := r.(string)
		if !ok {
			var err error
			if text, err = sqlOf(r); err != nil {
				return nil, fmt.Errorf("%s: request %d: %w", file, i+1, err)
			}
		}
		s, err := d.script(file, []byte(text))
		if err != nil {
			return nil, fmt.Errorf("request %d: %w", i+1, err)
		}
		all = append(all, item{script: s, meta: true})
	}
	return all, nil
}

// sqlOf returns the SQL of a request that is not a string.
func sqlOf(data any) (string, error) {
	var r request
	text, err := yaml.Marshal(data)
	if err == nil {
		err = yaml.Unmarshal(text, &r)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("it is neither a string nor a map with type and args: %w", err)
	case r.Type != "run_sql":
		return "", fmt.Errorf("its type is %q; only run_sql is possible, or a metadata document instead of the list", r.Type)
	case r.Args.Cascade, r.Args.ReadOnly:
		return "", errors.New("cascade and read_only are not possible; leave them out")
	}
	return r.Args.SQL, nil
}

// carried returns documents as the metadata of a migration; nil for none.
func carried(documents []*metadata.Document) (*migration.Script, error) {
	if len(documents) == 0 {
		return nil, nil
	}
	doc, err := combined(documents)
	if err != nil {
		return nil, err
	}
	return migration.Text("metadata", metayaml.Write(doc)), nil
}

// combined returns one document. The last entry for an object is the one that counts.
func combined(documents []*metadata.Document) (*metadata.Document, error) {
	var entries []metadata.Entry
	for _, doc := range documents {
		for _, e := range doc.Entries() {
			entries = slices.DeleteFunc(entries, func(before metadata.Entry) bool { return before.Name == e.Name })
			entries = append(entries, e)
		}
	}
	return metadata.NewDocument(entries...)
}

// merge adds documents to the metadata of the database, and reports whether that changed anything.
func merge(ctx context.Context, tx database.Tx, documents []*metadata.Document) (changed bool, err error) {
	if len(documents) == 0 {
		return false, nil
	}
	doc, err := combined(documents)
	if err != nil {
		return false, err
	}
	st, err := database.TxMetadata(ctx, tx)
	if err != nil {
		return false, err
	}
	c, err := st.Merge(doc)
	if err != nil || st.Has(c) {
		return false, err
	}
	return true, database.TxPutMetadata(ctx, tx, c)
}
