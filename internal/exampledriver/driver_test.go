package exampledriver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/databasetest"
	_ "github.com/whimbrel-db/whimbrel/internal/exampledriver"
)

func TestContract(t *testing.T) {
	databasetest.Run(t, func(t *testing.T) databasetest.Target {
		file := filepath.Join(t.TempDir(), "data.json")
		return databasetest.Target{
			Open: func(ctx context.Context, opts database.Options) (database.Database, error) {
				return database.Open(ctx, "example:"+file, opts)
			},
			Tables: func(context.Context) (names []string, err error) {
				tables, histories, err := read(file)
				for name := range tables {
					names = append(names, name)
				}
				return append(names, histories...), err
			},
			RowCount: func(_ context.Context, table string) (int, error) {
				tables, _, err := read(file)
				return len(tables[table]), err
			},
			OneWriter: true, // one lock for the whole file
			Holders:   true,
		}
	})
}

// read reads the file without the driver.
func read(file string) (tables map[string][]string, histories []string, err error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	var content struct {
		Tables    map[string][]string
		Histories map[string]json.RawMessage
	}
	if err == nil {
		err = json.Unmarshal(b, &content)
	}
	for name := range content.Histories {
		histories = append(histories, name)
	}
	return content.Tables, histories, err
}
