package adopt

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strconv"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// prisma is Prisma: _prisma_migrations, with the SHA-256 of migration.sql. A migration can have
// several rows: of attempts that were rolled back, and of the one that succeeded. Prisma refuses to
// run anything while a row is neither finished nor rolled back.
var prisma = &reader{
	tool: Prisma, tables: []string{"_prisma_migrations"},
	columns: []string{"id", "checksum", "finished_at", "migration_name", "logs", "rolled_back_at", "started_at", "applied_steps_count"},
	read:    readPrisma, lock: onPostgres(72707369),
	block: &block{
		how: "a row of a migration that is not finished, and a trigger on its table", trigger: true,
		marks: failedRow("id", "'"+prismaBlock+"'", ", checksum, migration_name, applied_steps_count", ", '', '"+blockRow+"', 0"),
	},
	write: rowWriter{
		key: "migration_name", columns: []string{"id", "checksum", "finished_at", "started_at", "applied_steps_count"},
		row: func(q *querier, m match) ([]string, error) {
			text, err := fileText(m.Up)
			if err != nil {
				return nil, err
			}
			if m.Origin == nil || m.Origin.ID == "" {
				return nil, fmt.Errorf("%s has no name of Prisma", m.Up.File)
			}
			at := q.timeOf(m.at)
			if q.dialect == sqltext.SQLite { // Prisma stores milliseconds there
				at = fmt.Sprint(m.at.UnixMilli())
			}
			return []string{q.text(m.Origin.ID), q.text(uuid()), fmt.Sprintf("'%x'", sha256.Sum256([]byte(text))), at, at, "1"}, nil
		},
	}.write,
}

// prismaBlock is the id of the row that keeps Prisma out.
const prismaBlock = "00000000-0000-0000-0000-77686d62726c"

// uuid returns a random UUID.
func uuid() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func readPrisma(ctx context.Context, q *querier, t *table) (*history, error) {
	columns := []string{q.ident("id"), q.ident("migration_name"), q.ident("checksum"), q.epoch("finished_at", true), q.ident("rolled_back_at") + " IS NULL", q.ident("finished_at") + " IS NULL"}
	rows, err := q.rows(ctx, t, columns, q.ident("started_at")+", "+q.ident("id"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		name := asText(r[1])
		remains, _ := asBool(r[4])
		unfinished, _ := asBool(r[5])
		switch {
		case asText(r[0]) == prismaBlock:
			h.blocked = true
		case !remains: // rolled back
		case name == "":
			h.refuse(Unreadable, -1, asText(r[0]), "a row has the migration name %s, which Prisma does not write", shown(r[1]))
		case unfinished:
			h.refuse(Failed, -1, name, "%s is not finished: it failed, or Prisma stopped in it, and it may have been applied in part", name)
		default:
			rec := record{id: name, origin: name, version: -1, at: asTime(r[3]), edited: hashed("SHA-256", sha256.New, asText(r[2]))}
			if v, err := strconv.ParseInt(leadingDigits(name), 10, 64); err == nil {
				rec.version = v
			}
			h.records = append(h.records, rec)
		}
	}
	return h, nil
}
