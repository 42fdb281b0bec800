package migration

import (
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

func syncScript(t *testing.T, body string, d sqltext.Dialect) *Script {
	t.Helper()
	s, err := ParseBackfill("f.sql", "-- whimbrel: backfill users\n-- whimbrel: sync\n"+body, d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func users() SyncTable {
	t := SyncTable{Schema: "public", Name: "users", Key: []string{"id"}}
	for _, name := range []string{"id", "email", "nick", "email_lower"} {
		t.Columns = append(t.Columns, SyncColumn{Name: name})
	}
	t.Columns = append(t.Columns, SyncColumn{Name: "state", Default: "'new'::text"}, SyncColumn{Name: "made", Late: true})
	return t
}

func TestSyncTriggers(t *testing.T) {
	t.Parallel()
	s := syncScript(t, "UPDATE users u SET email_lower = lower(u.email) WHERE id BETWEEN :first AND :last AND email_lower IS NULL", sqltext.PostgreSQL)
	got, err := s.SyncTriggers(sqltext.PostgreSQL, "default", 12, users())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`CREATE OR REPLACE FUNCTION "public"."whimbrel_sync_12_37a8eec1"() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $whimbrel_sync_$
DECLARE
  r record;
BEGIN
  SELECT lower(u.email) AS v1 INTO r
    FROM (SELECT NEW."id" AS "id", NEW."email" AS "email", CASE WHEN 1 = 0 THEN NEW."email_lower" END AS "email_lower") AS "u"
    WHERE id BETWEEN NEW."id" AND NEW."id" AND email_lower IS NULL;
  IF FOUND THEN
    NEW."email_lower" := r.v1;
  END IF;
  RETURN NEW;
END
$whimbrel_sync_$`,
		`CREATE TRIGGER whimbrel_sync_12_37a8eec1_i BEFORE INSERT ON "public"."users" FOR EACH ROW
  WHEN (NEW."email_lower" IS NULL)
  EXECUTE FUNCTION "public"."whimbrel_sync_12_37a8eec1"()`,
		`CREATE TRIGGER whimbrel_sync_12_37a8eec1_u BEFORE UPDATE ON "public"."users" FOR EACH ROW
  WHEN (pg_catalog.record_image_eq(ROW(NEW."email_lower"), ROW(OLD."email_lower")) AND pg_catalog.record_image_ne(ROW(NEW."id", NEW."email"), ROW(OLD."id", OLD."email")))
  EXECUTE FUNCTION "public"."whimbrel_sync_12_37a8eec1"()`,
	}
	if a, b := strings.Join(got.Create, ";\n"), strings.Join(want, ";\n"); a != b {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
	drop := `DROP TRIGGER IF EXISTS "whimbrel_sync_12_37a8eec1_i"`
	if d := SyncDrop(sqltext.SQLite, "default", 12, ""); d[0] != drop || len(d) != 2 {
		t.Errorf("Drop = %q", d)
	}
	if len(SyncName("a long name of a set, with more", 9223372036854775807)) > 60 {
		t.Error("the names are too long for a server")
	}
	if SyncName("a", 1) == SyncName("b", 1) {
		t.Error("two sets have one name")
	}
	s = Text("f.sql", "")
	s.Backfill = &Backfill{Table: "users"}
	if got, err := s.SyncTriggers(sqltext.PostgreSQL, "default", 1, users()); got != nil || err != nil {
		t.Errorf("without sync: %v, %v", got, err)
	}
}

func TestSyncTriggersRefuse(t *testing.T) {
	t.Parallel()
	const where = " WHERE id BETWEEN :first AND :last"
	for body, want := range map[string]string{
		"DELETE FROM users" + where: `f.sql:3:1: directive "sync": only an UPDATE can be applied to a single row by a trigger; use "recheck" instead`,
		"UPDATE users SET nick = 'a'" + where + ";\nUPDATE users SET nick = 'b'" + where: `f.sql:2:1: directive "sync" needs a backfill of one UPDATE, which a trigger can apply to a single row; use "recheck" instead`,
		"UPDATE orders SET nick = 'a'" + where:                                           `f.sql:3:8: directive "sync": the statement must change the rows of users`,
		"UPDATE users SET nick = o.nick FROM orders o" + where:                           `f.sql:3:32: directive "sync": an UPDATE … FROM joins other tables; read them in a subquery, as in SET a = (SELECT …)`,
		"UPDATE users SET (nick, email) = (1, 2)" + where:                                `f.sql:3:18: directive "sync": write one assignment for each column: a = …, b = …`,
		"UPDATE users SET nick[1] = 'a'" + where:                                         `f.sql:3:18: directive "sync": an assignment must be to a whole column of users`,
		"UPDATE users SET nick = DEFAULT" + where:                                        `f.sql:3:25: directive "sync": write the value in place of DEFAULT`,
		"UPDATE users SET id = 1" + where:                                                `f.sql:3:18: directive "sync": the statement assigns the column id of the key`,
		"UPDATE users SET nick = nick || 'x'" + where:                                    `f.sql:3:25: directive "sync": the value reads the column nick, which the statement assigns, so applying it twice would have another effect`,
		"UPDATE users SET nick = made" + where:                                           `f.sql:3:25: directive "sync": a trigger does not see the value of the column made yet when the row is written`,
		"UPDATE users SET nick = 'new'" + where + " AND nick = 'old'":                    `f.sql:3:69: directive "sync": the condition on the column nick, which the statement assigns, must be IS NULL, or compare it with its new value`,
		"UPDATE users SET nick = (SELECT max(x.email) FROM users x)" + where:             `f.sql:3:51: directive "sync": the statement reads other rows of users`,
		"UPDATE users SET nick = users::text" + where:                                    `f.sql:3:25: directive "sync": the whole row can't be read by a trigger; name its columns`,
		"UPDATE users SET nick = public.users.email" + where:                             `f.sql:3:32: directive "sync": write users.COLUMN: a trigger has only the row`,
		"UPDATE users SET nick = ctid::text" + where:                                     `f.sql:3:25: directive "sync": a trigger does not have the system column ctid`,
		"WITH a AS (SELECT 1) UPDATE users SET nick = 'a'" + where:                       `f.sql:3:1: directive "sync": only an UPDATE can be applied to a single row by a trigger; use "recheck" instead`,
	} {
		s := syncScript(t, body, sqltext.PostgreSQL)
		if _, err := s.SyncTriggers(sqltext.PostgreSQL, "default", 1, users()); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", body, err, want)
		}
	}
	table := users()
	table.Key = []string{"ctid"}
	s := syncScript(t, "UPDATE users SET nick = 'a' WHERE ctid BETWEEN :first AND :last", sqltext.PostgreSQL)
	if _, err := s.SyncTriggers(sqltext.PostgreSQL, "default", 1, table); err == nil || !strings.Contains(err.Error(), "block by block") {
		t.Errorf("a table without a key: %v", err)
	}
}

func TestSyncDefaults(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"'new'::text": true, "-1": true, "1.5": true, "true": true, "''::character varying(10)": true, "now()": false, "nextval('a'::regclass)": false, "'a' || 'b'": false, "": false} {
		if got := isConstant(text, sqltext.PostgreSQL); got != want {
			t.Errorf("%q is a constant: %v, want %v", text, got, want)
		}
	}
	s := syncScript(t, "UPDATE users SET state = email WHERE id BETWEEN :first AND :last", sqltext.PostgreSQL)
	got, err := s.SyncTriggers(sqltext.PostgreSQL, "default", 1, users())
	if err != nil {
		t.Fatal(err)
	}
	if want := `WHEN ((NEW."state" IS NULL OR NEW."state" = 'new'::text))`; !strings.Contains(got.Create[1], want) {
		t.Errorf("got %s, want it to have %s", got.Create[1], want)
	}
}
