package source_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// TestConvertKeepsAnySet converts random folders of other tools: the native folder has the same
// set.
func TestConvertKeepsAnySet(t *testing.T) {
	t.Parallel()
	texts := []string{
		up, "", "-- only a comment", "\ufeffSELECT 1;\r\nSELECT 2 -- the end", "SELECT '${x}', '${a2:b}';", "SELECT E'\\'', $$ -- +migrate Up $$;\n",
		"-- whimbrel: lock-timeout 3s\nSELECT 1;", "/* a\n-- b */ SELECT 1", "BEGIN;\nSELECT 1;\nCOMMIT;\n",
	}
	for _, format := range []source.Format{source.GolangMigrate, source.Goose, source.Dbmate, source.Tern, source.Hasura, source.SQLMigrate, source.Flyway, source.Sqlx, source.Diesel, source.Prisma, source.Atlas, source.Drizzle, source.Sqitch, source.Liquibase} {
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
				listMigrations(rng, format, folder)
				opts := source.Options{Format: format, Dialect: sqltext.PostgreSQL, Placeholders: map[string]string{"x": "y", "a2:b": "z"}}
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

// listMigrations adds the file in which a tool lists its migrations.
func listMigrations(rng *rand.Rand, format source.Format, folder fstest.MapFS) {
	var names []string
	for name := range folder {
		names = append(names, name)
	}
	slices.Sort(names)
	switch format {
	case source.Atlas:
		var pairs []string
		for _, name := range names {
			pairs = append(pairs, name, string(folder[name].Data))
		}
		folder["atlas.sum"] = &fstest.MapFile{Data: []byte(source.AtlasSumOf(pairs...))}
	case source.Drizzle:
		rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for i := range names {
			names[i] = strings.TrimSuffix(names[i], ".sql")
		}
		folder["meta/_journal.json"] = &fstest.MapFile{Data: []byte(journalOf(names...))}
	case source.Sqitch:
		var lines []string
		for _, name := range names {
			if change, ok := strings.CutPrefix(name, "deploy/"); ok {
				lines = append(lines, strings.TrimSuffix(change, ".sql"))
			}
		}
		rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		folder["sqitch.plan"] = &fstest.MapFile{Data: []byte(planOf(lines...))}
	}
}

// randomMigration adds the files of a migration.
func randomMigration(rng *rand.Rand, format source.Format, name string, text func() string, add func(name, text string)) {
	version := randomVersion(rng, format)
	down, alone := rng.IntN(2) == 0, rng.IntN(3) == 0
	switch format {
	case source.Atlas, source.Drizzle:
		all := text()
		if alone {
			all = map[source.Format]string{source.Atlas: "-- atlas:txmode none\n\n", source.Drizzle: "SELECT 0\n--> statement-breakpoint\n"}[format] + all
		}
		add(version+"_"+name+".sql", all)
	case source.Sqitch:
		add("deploy/"+name+".sql", text())
		if down {
			add("revert/"+name+".sql", text())
		}
	case source.Liquibase:
		all := head
		for i := range 1 + rng.IntN(3) {
			all += fmt.Sprintf("--changeset %s:%d%s\n%s\n", name, i, map[bool]string{true: " runInTransaction:false"}[alone], text())
			if down {
				all += []string{"--rollback SELECT 1;\n--rollback SELECT 2;\n", "--rollback empty\n", "/* liquibase rollback\nSELECT 3;\n*/\n"}[rng.IntN(3)]
			}
		}
		add(version+"_"+name+".sql", all)
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
