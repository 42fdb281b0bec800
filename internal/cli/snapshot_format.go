package cli

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/diagram"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/schemafile"
)

// snapshotFormat is a form in which snapshot writes a schema.
type snapshotFormat string

const (
	formatSQL      snapshotFormat = "sql"
	formatDocument snapshotFormat = "json"
	formatLoad     snapshotFormat = "load" // a schema file
	formatMermaid  snapshotFormat = "mermaid"
	formatSVG      snapshotFormat = "svg"
	formatDOT      snapshotFormat = "dot"
)

var snapshotFormats = []string{string(formatSQL), string(formatDocument), string(formatLoad), string(formatMermaid), string(formatSVG), string(formatDOT)}

// parseSnapshotFormat returns the format with a name, or the one that the file's name implies.
func parseSnapshotFormat(name, file string) (snapshotFormat, error) {
	if name == "" {
		switch strings.ToLower(filepath.Ext(file)) {
		case ".json":
			return formatDocument, nil
		case ".mmd", ".mermaid":
			return formatMermaid, nil
		case ".svg":
			return formatSVG, nil
		case ".dot", ".gv":
			return formatDOT, nil
		case "", ".sql", ".ddl", ".txt":
			return formatSQL, nil
		}
		return "", usage("End the name with .sql, .json, .mmd, .svg or .dot, or add --format.", "--out: %q does not say the format", filepath.Base(file))
	}
	if slices.Contains(snapshotFormats, name) {
		return snapshotFormat(name), nil
	}
	hint := "Valid formats: " + strings.Join(snapshotFormats, ", ") + "."
	if best := nearest(name, snapshotFormats); best != "" {
		hint = "Did you mean " + best + "? " + hint
	}
	return "", usage(hint, "--format: unknown format %q", name)
}

// snapshotText returns the text of a snapshot in a format, and the number of tables in a diagram,
// else -1.
func snapshotText(ctx context.Context, db database.Database, s *catalog.Snapshot, format snapshotFormat) (string, int, error) {
	switch format {
	case formatSQL:
		return s.Text(), -1, nil
	case formatDocument:
		content, err := s.Encode()
		return string(content), -1, err
	case formatLoad:
		f, err := schemafile.Take(ctx, db)
		if err != nil {
			return "", -1, err
		}
		return f.Text(), -1, nil
	}
	doc, err := readDocument(ctx, db)
	if err != nil {
		return "", -1, err
	}
	d := diagram.New(s, doc)
	switch format {
	case formatMermaid:
		return d.Mermaid(), len(d.Tables), nil
	case formatDOT:
		return d.DOT(), len(d.Tables), nil
	}
	return d.SVG(), len(d.Tables), nil
}

// readDocument returns the metadata of a database, or nil if its driver keeps none.
func readDocument(ctx context.Context, db database.Database) (*metadata.Document, error) {
	state, err := database.ReadMetadata(ctx, db)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return state.Document(), nil
}
