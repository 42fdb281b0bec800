package bench

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	schema "github.com/whimbrel-db/whimbrel/migration"
)

// applied returns an open database with 1,000 applied migrations, and their set.
func applied(b *testing.B, url string) (database.Database, *schema.Set) {
	b.Helper()
	all := make([]schema.Migration, full.migrations)
	for i := range all {
		v := i + 1
		all[i] = schema.Migration{
			Version: int64(v), Name: fmt.Sprintf("migration_%d", v),
			Up: schema.Text(fmt.Sprintf("%04d.up.sql", v), "SELECT 1"), Down: schema.Text(fmt.Sprintf("%04d.down.sql", v), "SELECT 1"),
		}
	}
	set, err := schema.NewSet("bench", all...)
	if err != nil {
		b.Fatal(err)
	}
	db, err := database.Open(context.Background(), url, database.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(context.Background()); err != nil {
		b.Fatal(err)
	}
	return db, set
}

// BenchmarkCheckPostgres is the cost of each application start with 1,000 applied migrations and an
// open connection; the floor is one SELECT of as many rows.
func BenchmarkCheckPostgres(b *testing.B) {
	url := testdb.PrivatePostgres(b).New()
	db, set := applied(b, url)
	b.Run("whimbrel", func(b *testing.B) { check(b, db, set) })
	b.Run("floor", func(b *testing.B) {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(ctx)
		b.ReportAllocs()
		for b.Loop() {
			rows, err := conn.Query(ctx, "SELECT version, checksum FROM whimbrel_history WHERE set_name = 'bench' ORDER BY id")
			if err != nil {
				b.Fatal(err)
			}
			for rows.Next() {
				var version int64
				var checksum string
				if err := rows.Scan(&version, &checksum); err != nil {
					b.Fatal(err)
				}
			}
			if err := rows.Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCheckSQLite is the same on a file.
func BenchmarkCheckSQLite(b *testing.B) {
	db, set := applied(b, "sqlite:"+b.TempDir()+"/app.db")
	check(b, db, set)
}

func check(b *testing.B, db database.Database, set *schema.Set) {
	m := whimbrel.New(db, set, whimbrel.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Up(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
