package whimbrel

import (
	"slices"
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

func TestCreatedSchemas(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                                 nil,
		"CREATE TABLE schema_versions (x)": nil,
		"CREATE SCHEMA Billing":            {"billing"},
		"-- why\ncreate schema if not exists\n\"Two \"\"words\"\"\" AUTHORIZATION joe; CREATE SCHEMA b": {`Two "words"`, "b"},
		"CREATE /* a /* nested */ comment */ SCHEMA x":                                                  {"x"},
		"CREATE SCHEMA AUTHORIZATION Joe":                                                               {"joe"},
		"CREATE SCHEMA authorization_log":                                                               {"authorization_log"},
		"CREATE /* new */ SCHEMA -- so\n x CREATE TABLE t (y int)":                                      {"x"},
		"DO $$ BEGIN CREATE SCHEMA unseen; END $$":                                                      nil,
		"SELECT 'CREATE SCHEMA no'; DROP SCHEMA a; ALTER SCHEMA b RENAME TO c":                          nil,
	} {
		if got := createdSchemas(text, sqltext.PostgreSQL); !slices.Equal(got, want) {
			t.Errorf("%s\ncreates %q, want %q", text, got, want)
		}
	}
}
