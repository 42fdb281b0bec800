package adopt

import (
	"context"
	"crypto/sha512"
	"fmt"
	"hash/crc32"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// sqlx is the Rust library sqlx: _sqlx_migrations, with the SHA-384 of the file. It refuses to run
// anything while a row has no success.
var sqlx = &reader{
	tool: Sqlx, tables: []string{"_sqlx_migrations"},
	columns: []string{"version", "description", "installed_on", "success", "checksum", "execution_time"},
	read:    readSqlx, lock: lockSqlx,
	block: &block{how: "a row without success, and a trigger on its table", trigger: true, marks: func(q *querier, t *table) *mark {
		empty := "''"
		if q.dialect == sqltext.SQLite {
			empty = "x''"
		}
		return failedRow("version", q.text(fmt.Sprint(sqlxBlock)), ", description, success, checksum, execution_time", fmt.Sprintf(", '%s', false, %s, 0", blockRow, empty))(q, t)
	}},
	write: rowWriter{
		key: "version", columns: []string{"description", "installed_on", "success", "checksum", "execution_time"}, old: number,
		row: func(q *querier, m match) ([]string, error) {
			text, err := fileText(m.Up)
			if err != nil {
				return nil, err
			}
			sum := fmt.Sprintf("x'%x'", sha512.Sum384([]byte(text)))
			if q.dialect == sqltext.PostgreSQL {
				sum = fmt.Sprintf("pg_catalog.decode('%x'::pg_catalog.text, 'hex'::pg_catalog.text)", sha512.Sum384([]byte(text)))
			}
			return []string{fmt.Sprint(m.Version), q.text(m.Name), q.timeOf(m.at), "true", sum, "0"}, nil
		},
	}.write,
}

// sqlxBlock is the version of the row that keeps sqlx out.
const sqlxBlock = -99

func readSqlx(ctx context.Context, q *querier, t *table) (*history, error) {
	rows, err := q.rows(ctx, t, []string{q.ident("version"), q.ident("success"), q.hex("checksum"), q.epoch("installed_on", true)}, q.ident("version"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		if v, _ := asInt(r[0]); v == sqlxBlock {
			h.blocked = true
			continue
		}
		version, ok := asVersion(r[0])
		success, known := asBool(r[1])
		switch {
		case !ok || !known:
			h.refuse(Unreadable, -1, asText(r[0]), "a row has the version %s and success %s, which sqlx does not write", shown(r[0]), shown(r[1]))
		case !success:
			h.refuse(Dirty, version, fmt.Sprint(version), "version %d has no success: sqlx stopped in it, and it may have been applied in part", version)
		default:
			h.records = append(h.records, record{
				id: fmt.Sprint(version), version: version, at: asTime(r[3]),
				edited: hashed("SHA-384", sha512.New384, asText(r[2])),
			})
		}
	}
	return h, nil
}

// hex returns an expression for a column of bytes in hexadecimal digits.
func (q *querier) hex(column string) string {
	if q.dialect == sqltext.PostgreSQL {
		return "pg_catalog.encode(" + q.ident(column) + ", 'hex'::pg_catalog.text)"
	}
	return "HEX(" + q.ident(column) + ")"
}

// lockSqlx returns sqlx's lock, whose key has the name of the database.
func lockSqlx(ctx context.Context, q *querier, _ *table) (*toolLock, error) {
	if q.dialect == sqltext.SQLite {
		return nil, nil
	}
	name, err := q.databaseName(ctx)
	if err != nil {
		return nil, err
	}
	key := 0x3d32ad9e * int64(crc32.ChecksumIEEE([]byte(name)))
	if q.dialect == sqltext.PostgreSQL {
		return advisory(key), nil
	}
	return namedLock(fmt.Sprintf("%x", key)), nil
}
