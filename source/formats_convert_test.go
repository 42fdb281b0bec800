package source_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/source"
)

// TestConvertKeepsAnySet converts random folders of other tools: the native folder has the same
// set.
func TestConvertKeepsAnySet(t *testing.T) {
	t.Parallel()
	texts := []string{
		up, "", "-- only a comment", "\ufeffSELECT 1;\r\nSELECT 2 -- the end", "SELECT '${x}', '${a2:b}';", "SELECT E'\\'', $$ -- +migrate Up $$;\n",
		"-- whimbrel: lock-timeout 3s\nSELECT 1;", "/* a\n-- b */ SELECT 1", "BEGIN;\nSELECT 1;\nCOMMIT;\n",
	}
	for _, format := range []source.Format{source.GolangMigrate, source.Goose, source.Dbmate, source.Tern, source.Hasura, source.SQLMigrate, source.Flyway, source.Sqlx, source.Diesel, source.Prisma} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(3, 4))
			text := func() string { return texts[rng.IntN(len(texts))] }
			converted := 0
			for range 300 {
				folder := fstest.MapFS{}
				add := func(name, text string) { folder[name] = &fstest.MapFile{Data: []byte(text)} }
				for i := range 1 + rng.IntN(4) {
					randomMigration(rng, format, fmt.Sprintf("n%d", i), text, add)
				}
				opts := source.Options{Format: format, Placeholders: map[string]string{"x": "y", "a2:b": "z"}}
				if _, err := source.Read(folder, opts); err != nil {
					continue // versions in disorder, or twice
				}
				c, err := source.Convert(folder, opts)
				if err != nil {
					t.Fatal(err)
				}
				converted++
				sameSet(t, c)
			}
			if converted < 50 {
				t.Errorf("only %d folders could be read", converted)
			}
		})
	}
}

// markers are the lines of formats that have up and down in one file.
var markers = map[source.Format]struct{ up, upAlone, down string }{
	source.Goose:      {"-- +goose Up\n", "-- +goose NO TRANSACTION\n-- +goose Up\n", "-- +goose Down"},
	source.Dbmate:     {"-- migrate:up\n", "-- migrate:up transaction:false\n", "-- migrate:down"},
	source.Tern:       {"", "---- tern: disable-tx ----\n", "---- create above / drop below ----"},
	source.SQLMigrate: {"-- +migrate Up\n", "-- +migrate Up notransaction\n", "-- +migrate Down"},
}

// randomMigration adds the files of a migration.
func randomMigration(rng *rand.Rand, format source.Format, name string, text func() string, add func(name, text string)) {
	version := randomVersion(rng, format)
	down, alone := rng.IntN(2) == 0, rng.IntN(3) == 0
	switch format {
	case source.Goose, source.Dbmate, source.Tern, source.SQLMigrate:
		m := markers[format]
		all := m.up
		if alone {
			all = m.upAlone
		}
		if all += text(); down {
			all += "\n" + m.down + "\n" + text()
		}
		add(version+"_"+name+".sql", all)
	case source.GolangMigrate:
		add(version+"_"+name+".up.sql", text())
		if down {
			add(version+"_"+name+".down.sql", text())
		}
	case source.Flyway:
		add("V"+version+"__"+name+".sql", text())
		if alone {
			add("V"+version+"__"+name+".sql.conf", "executeInTransaction=false")
		}
		if down {
			add("U"+version+"__"+name+".sql", text())
		}
		if rng.IntN(4) == 0 {
			add("sub/R__"+name+".sql", text())
		}
	case source.Sqlx:
		if all := text(); down {
			add(version+"_"+name+".up.sql", all)
			add(version+"_"+name+".down.sql", text())
		} else {
			add(version+"_"+name+".sql", map[bool]string{true: "-- no-transaction\n"}[alone]+all)
		}
	case source.Hasura, source.Diesel, source.Prisma:
		dir, script := version+"_"+name, "/up.sql"
		if format == source.Prisma {
			script = "/migration.sql"
		}
		add(dir+script, text())
		if down {
			add(dir+"/down.sql", text())
		}
		if alone && format != source.Prisma {
			add(dir+"/metadata.toml", "run_in_transaction = false\n")
		}
	}
}
