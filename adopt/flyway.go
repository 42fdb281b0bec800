package adopt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// flyway is Flyway: flyway_schema_history, or schema_version before release 5, with the CRC-32 of
// the file. A version can have several rows: of attempts, and of an undo. Flyway refuses to run
// anything while a row has no success.
var flyway = &reader{
	tool: Flyway, tables: []string{"flyway_schema_history", "schema_version"},
	columns:  []string{"installed_rank", "version", "description", "type", "script", "checksum", "installed_by", "installed_on", "execution_time", "success"},
	optional: []string{"version_rank"},
	read:     readFlyway, lock: lockFlyway,
	block: &block{
		how: "a failed repeatable migration, and a trigger on its table", trigger: true,
		marks: failedRow("installed_rank", fmt.Sprint(flywayBlock), ", description, type, script, installed_by, execution_time, success",
			", '"+blockRow+"', 'SQL', 'R__"+blockRow+".sql', 'whimbrel', 0, false"),
	},
	write: writeFlyway,
}

// flywayBlock is the rank of the row that keeps Flyway out.
const flywayBlock = 2147483647

func readFlyway(ctx context.Context, q *querier, t *table) (*history, error) {
	var columns []string
	for _, c := range []string{"installed_rank", "version", "description", "type", "script", "checksum", "success"} {
		columns = append(columns, q.ident(c))
	}
	rows, err := q.rows(ctx, t, append(columns, q.epoch("installed_on", false)), q.ident("installed_rank"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	f := flywayRows{h: h, versions: map[string]record{}, failed: map[string]Refused{}}
	for _, r := range rows {
		if rank, _ := asInt(r[0]); rank == flywayBlock {
			h.blocked = true
			continue
		}
		success, ok := asBool(r[6])
		if !ok {
			h.refuse(Unreadable, -1, asText(r[1]), "the row of %s has the success %s, which Flyway does not write", shown(r[4]), shown(r[6]))
			continue
		}
		f.add(flywayRow{r[1], asText(r[2]), asText(r[3]), asText(r[4]), r[5], success, asTime(r[7])})
	}
	f.finish()
	return h, nil
}

// flywayRow is a row of Flyway's table.
type flywayRow struct {
	version                   any
	description, kind, script string
	checksum                  any
	success                   bool
	at                        time.Time
}

// flywayRows reduces the rows to the newest of each migration.
type flywayRows struct {
	h        *history
	versions map[string]record
	failed   map[string]Refused
}

func (f *flywayRows) add(r flywayRow) {
	if r.kind == "SCHEMA" {
		return
	}
	id, key := asText(r.version), ""
	if r.version == nil {
		id, key = r.script, "R "+r.description
	} else if key = dotted(id); key == "" {
		f.h.refuse(Unreadable, -1, id, "a row has the version %s, which Flyway does not write", shown(r.version))
		return
	}
	delete(f.failed, key)
	switch {
	case !r.success:
		f.failed[key] = Refused{Why: Failed, Version: whimbrel.NilVersion, ID: id, Reason: fmt.Sprintf("%s failed, and it may have been applied in part", r.script)}
	case r.kind == "DELETE" || strings.HasPrefix(r.kind, "UNDO"):
		delete(f.versions, key)
	default:
		f.versions[key] = r.record(id, key)
	}
}

func (r flywayRow) record(id, key string) record {
	rec := record{id: id, version: -1, at: r.at}
	if r.version == nil {
		rec.repeatable = strings.TrimSuffix(strings.TrimPrefix(path.Base(r.script), "R__"), ".sql")
		rec.also = strings.ReplaceAll(r.description, " ", "_")
	} else {
		rec.dotted = key
		if v, err := strconv.ParseInt(key, 10, 64); err == nil {
			rec.version = v
		}
	}
	switch {
	case strings.HasSuffix(r.kind, "BASELINE"): // BASELINE, SQL_BASELINE
		rec.covers = true
	case r.checksum != nil:
		rec.edited = r.edited
	}
	return rec
}

// edited compares a script with the checksum of the row. A script with placeholders can't be
// compared, except a repeatable one, whose values are part of Flyway's checksum.
func (r flywayRow) edited(m migration.Migration) (string, error) {
	text, err := fileText(m.Up)
	if errors.Is(err, errFilled) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if want, ok := asInt(r.checksum); ok && want == int64(flywaySum(text)) {
		return "", nil
	}
	return "it has another checksum (CRC-32) than the table", nil
}

func (f *flywayRows) finish() {
	for _, key := range slices.Sorted(maps.Keys(f.versions)) {
		f.h.records = append(f.h.records, f.versions[key])
	}
	order.StableBy(f.h.records, func(a, b record) int { return compareDotted(a.dotted, b.dotted) })
	for _, key := range slices.Sorted(maps.Keys(f.failed)) {
		f.h.refused = append(f.h.refused, f.failed[key])
	}
}

// dotted returns a version with dots in one form: 1.02.0 and 1.2 are 1.2. It returns "" for
// anything else.
func dotted(version string) string {
	parts := strings.Split(strings.ReplaceAll(version, "_", "."), ".")
	for i, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return ""
		}
		if parts[i] = strings.TrimLeft(p, "0"); parts[i] == "" {
			parts[i] = "0"
		}
	}
	for len(parts) > 1 && parts[len(parts)-1] == "0" {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, ".")
}

// compareDotted compares versions that dotted has returned, as numbers part by part.
func compareDotted(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		x, y := "0", "0"
		if i < len(as) {
			x = as[i]
		}
		if i < len(bs) {
			y = bs[i]
		}
		if len(x) != len(y) {
			return len(x) - len(y)
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}

// lockFlyway returns Flyway's lock, whose key has the hash of the table's quoted name.
func lockFlyway(ctx context.Context, q *querier, t *table) (*toolLock, error) {
	switch q.dialect {
	case sqltext.PostgreSQL:
		return advisory(77431708279161 + int64(javaHash(q.full(t)))), nil
	case sqltext.MySQL:
		return namedLock(fmt.Sprintf("Flyway-%d", javaHash(q.full(t)))), nil
	}
	return nil, nil
}

// javaHash is String.hashCode of Java, for ASCII.
func javaHash(s string) (h int32) {
	for _, c := range []byte(s) {
		h = 31*h + int32(c)
	}
	return h
}

func writeFlyway(ctx context.Context, q *querier, t *table, c changes) error {
	rank, err := q.max(ctx, t, "installed_rank")
	if err != nil {
		return err
	}
	w := rowWriter{
		key: "version", columns: []string{"installed_rank", "description", "type", "script", "checksum", "installed_by", "execution_time", "success"},
		row: func(q *querier, m match) ([]string, error) {
			id := fmt.Sprint(m.Version)
			if m.Origin != nil && m.Origin.ID != "" {
				id = m.Origin.ID
			}
			sum := "NULL"
			if text, err := fileText(m.Up); err == nil {
				sum = q.text(fmt.Sprint(flywaySum(text)))
			} else if !errors.Is(err, errFilled) {
				return nil, err
			}
			rank++
			return []string{
				q.text(id), fmt.Sprint(rank), q.text(strings.ReplaceAll(m.Name, "_", " ")), "'SQL'", q.text(path.Base(m.Up.File)), sum, "'whimbrel'", "0", "true",
			}, nil
		},
	}
	return w.write(ctx, q, t, c)
}
