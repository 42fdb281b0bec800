package adopt

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// liquibase is Liquibase: DATABASECHANGELOG. A change set is its author, its id and its file. The
// row of DATABASECHANGELOGLOCK is its lock. Its checksums are of the parsed change, so they are not
// compared.
var liquibase = &reader{
	tool: Liquibase, tables: []string{"databasechangelog"},
	columns: []string{
		"id", "author", "filename", "dateexecuted", "orderexecuted", "exectype", "md5sum", "description", "comments", "tag", "liquibase",
	},
	optional: []string{"contexts", "labels", "deployment_id"},
	read:     readLiquibase, lock: lockLiquibase,
	block: &block{how: "its lock row, and a trigger on its table", trigger: true, beside: liquibaseLock, marks: func(q *querier, t *table) *mark {
		lock := q.full(liquibaseLock(t))
		return &mark{
			put: []string{
				"DELETE FROM " + lock + " WHERE id " + q.equal() + " 1",
				"INSERT INTO " + lock + " (id, locked, lockgranted, lockedby) VALUES (1, true, CURRENT_TIMESTAMP, '" + blockRow + "')",
			},
			take: []string{"UPDATE " + lock + " SET locked = false, lockgranted = NULL, lockedby = NULL WHERE lockedby " + q.equal() + " '" + blockRow + "'"},
		}
	}},
	write: writeLiquibase,
}

// liquibaseLock returns the lock table of a history table.
func liquibaseLock(t *table) *table {
	lock := *t
	lock.name += "lock"
	if strings.ToUpper(t.name) == t.name {
		lock.name = t.name + "LOCK"
	}
	return &lock
}

// lockTable returns the lock table if it exists and may be read.
func (q *querier) lockTable(ctx context.Context, t *table) (*table, error) {
	lock, err := q.sibling(ctx, Liquibase, t, liquibaseLock(t))
	if lock != nil && !lock.has([]string{"id", "locked", "lockgranted", "lockedby"}, nil) {
		return nil, &TableError{Tool: Liquibase, Table: q.name(lock), Problem: "it has other columns than Liquibase's"}
	}
	return lock, err
}

func readLiquibase(ctx context.Context, q *querier, t *table) (*history, error) {
	var columns []string
	for _, c := range []string{"id", "author", "filename", "exectype", "md5sum"} {
		columns = append(columns, q.ident(c))
	}
	rows, err := q.rows(ctx, t, append(columns, q.epoch("dateexecuted", false)), q.ident("orderexecuted"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	for _, r := range rows {
		id, author, file := asText(r[0]), asText(r[1]), asText(r[2])
		name := author + ":" + id + "@" + file
		switch kind := asText(r[3]); kind {
		case "EXECUTED", "RERAN", "MARK_RAN":
			h.records = append(h.records, record{
				id: name, version: -1, origin: name, also: author + ":" + id + "@" + path.Base(strings.TrimPrefix(file, "classpath:")), at: asTime(r[5]),
				repeats: []string{id, author + "_" + id},
			})
		case "FAILED":
			h.refuse(Failed, -1, name, "%s failed, and it may have been applied in part", name)
		case "SKIPPED":
		default:
			h.refuse(Unreadable, -1, name, "the row of %s has the type %s, which Liquibase does not write", name, shown(r[3]))
		}
	}
	if len(h.records) > 0 {
		h.notes = append(h.notes, "Liquibase's checksums are of parsed changes, so edits of the files were not looked for")
	}
	lock, err := q.lockTable(ctx, t)
	if err != nil || lock == nil {
		return h, err
	}
	by, err := q.rows(ctx, lock, []string{q.ident("lockedby")}, "")
	for _, r := range by {
		h.blocked = h.blocked || asText(r[0]) == blockRow
	}
	return h, err
}

func lockLiquibase(ctx context.Context, q *querier, t *table) (*toolLock, error) {
	lock, err := q.lockTable(ctx, t)
	if err != nil || lock == nil {
		return nil, err
	}
	notEqual := "<>"
	if q.dialect == sqltext.PostgreSQL {
		notEqual = "OPERATOR(pg_catalog.<>)"
	}
	statement := fmt.Sprintf("SELECT CASE WHEN locked AND COALESCE(lockedby, '') %s '%s' THEN 0 ELSE 1 END FROM %s WHERE id %s 1", notEqual, blockRow, q.full(lock), q.equal())
	l := &toolLock{what: "the row of " + q.name(lock), try: statement, free: statement}
	if q.dialect != sqltext.SQLite && lock.writable {
		l.try += " FOR UPDATE"
	}
	return l, nil
}

func writeLiquibase(ctx context.Context, q *querier, t *table, c changes) error {
	order, err := q.max(ctx, t, "orderexecuted")
	if err != nil {
		return err
	}
	for _, m := range c.removed {
		author, id, file, ok := liquibaseName(m.id)
		if !ok {
			return fmt.Errorf("%s is no name of a change set", m.id)
		}
		if err := q.exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE id %[2]s %[3]s AND author %[2]s %[4]s AND filename %[2]s %[5]s", q.full(t), q.equal(), q.text(id), q.text(author), q.text(file))); err != nil {
			return err
		}
	}
	folder := liquibaseFolder(c.theirs)
	for _, m := range c.added {
		if m.Origin == nil {
			return fmt.Errorf("%s is no change set of Liquibase", m.Up.File)
		}
		author, id, file, ok := liquibaseName(m.Origin.ID)
		if !ok {
			return fmt.Errorf("%s is no name of a change set", m.Origin.ID)
		}
		order++
		columns := []string{"id", "author", "filename", "dateexecuted", "orderexecuted", "exectype", "description", "liquibase"}
		values := []string{q.text(id), q.text(author), q.text(folder + file), q.timeOf(m.at), fmt.Sprint(order), "'EXECUTED'", "'sql'", "'whimbrel'"}
		if err := q.insert(ctx, t, columns, values); err != nil {
			return err
		}
	}
	return nil
}

// liquibaseFolder returns what the tool's table has before the names of the folder's files: the
// path of the folder as Liquibase was given it.
func liquibaseFolder(theirs []match) string {
	for _, m := range theirs {
		if m.Origin == nil {
			continue
		}
		_, _, path, ok := liquibaseName(m.id)
		_, _, file, known := liquibaseName(m.Origin.ID)
		if folder, found := strings.CutSuffix(path, file); ok && known && found {
			return folder
		}
	}
	return ""
}

// liquibaseName splits author:id@file.
func liquibaseName(name string) (author, id, file string, ok bool) {
	author, rest, ok := strings.Cut(name, ":")
	i := strings.LastIndexByte(rest, '@')
	if !ok || i < 0 {
		return "", "", "", false
	}
	return author, rest[:i], rest[i+1:], true
}
