package adopt

// The tools below are detected only. Their migrations are programs, or their tables don't say which
// migrations are applied.
const programs = "its migrations are programs, not SQL; record a baseline instead"

var (
	ecto      = &reader{tool: Ecto, tables: []string{"schema_migrations"}, columns: []string{"version", "inserted_at"}, why: programs}
	django    = &reader{tool: Django, tables: []string{"django_migrations"}, columns: []string{"id", "app", "name", "applied"}, why: programs}
	alembic   = &reader{tool: Alembic, tables: []string{"alembic_version"}, columns: []string{"version_num"}, why: "its table has heads only, and their order is in Python files; record a baseline instead"}
	bun       = &reader{tool: Bun, tables: []string{"bun_migrations"}, columns: []string{"id", "name", "group_id", "migrated_at"}, beside: []string{"bun_migration_locks"}, why: programs}
	pgmigrate = &reader{
		tool: Pgmigrate, tables: []string{"pgmigrate_migrations"}, columns: []string{"id", "checksum", "execution_time_in_millis", "applied_at"},
		why: "Whimbrel does not read its table; record a baseline instead",
	}
	godwit = &reader{
		tool: Godwit, tables: []string{"migrations"}, anyColumns: true,
		is:  func(t *table, beside []*table) bool { return t.schema == "godwit" },
		why: "Whimbrel does not read its tables; record a baseline instead",
	}
)
