package adopt

import (
	"context"
	"crypto/sha1" // #nosec G505: Sqitch's checksum
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// sqitch is Sqitch: changes in its registry, on PostgreSQL the schema sqitch, with the SHA-1 of the
// deploy script. A reworked change has a row for each time. The registry must be in the database
// itself, as it is on PostgreSQL.
var sqitch = &reader{
	tool: Sqitch, tables: []string{"changes"},
	columns: []string{
		"change_id", "script_hash", "change", "project", "note", "committed_at", "committer_name", "committer_email", "planned_at", "planner_name", "planner_email",
	},
	beside: []string{"dependencies", "events", "projects", "releases", "tags"},
	read:   readSqitch, lock: lockSqitch,
	block: &block{
		how: "a release of the registry that no Sqitch knows, and a trigger on its table of changes", trigger: true, beside: sqitchReleases,
		marks: func(q *querier, t *table) *mark {
			releases := q.full(sqitchReleases(t))
			return &mark{
				put: []string{
					fmt.Sprintf("INSERT INTO %s (version, installed_at, installer_name, installer_email) VALUES (%d, CURRENT_TIMESTAMP, '%s', 'whimbrel')", releases, sqitchBlock, blockRow),
				},
				take: []string{fmt.Sprintf("DELETE FROM %s WHERE version %s %d", releases, q.equal(), sqitchBlock)},
			}
		},
	},
	write: func(_ context.Context, _ *querier, _ *table, c changes) error {
		return &UnsupportedError{
			Tool: Sqitch, What: "write the changes since the takeover into the registry",
			Why: fmt.Sprintf("their ids are hashes of the plan (%d to add, %d to remove)", len(c.added), len(c.removed)),
		}
	},
}

// sqitchBlock is the release of the registry that keeps Sqitch out.
const sqitchBlock = 9999

// sqitchReleases returns the table of releases of a registry.
func sqitchReleases(t *table) *table {
	releases := *t
	releases.name = "releases"
	return &releases
}

func readSqitch(ctx context.Context, q *querier, t *table) (*history, error) {
	columns := []string{q.ident("change"), q.ident("script_hash"), q.ident("project"), q.epoch("committed_at", true)}
	rows, err := q.rows(ctx, t, columns, q.ident("committed_at")+", "+q.ident("planned_at"))
	if err != nil {
		return nil, err
	}
	h := &history{}
	times := map[string]int{}
	for _, r := range rows {
		name, project := asText(r[0]), asText(r[2])
		if first := asText(rows[0][2]); project != first {
			h.refuse(Unreadable, -1, name, "the registry has the projects %s and %s; only a registry with one project can be taken over", shown(first), shown(project))
			return h, nil
		}
		if name == "" {
			h.refuse(Unreadable, -1, "", "a row has the change %s, which Sqitch does not write", shown(r[0]))
			continue
		}
		rec := record{id: name, version: -1, change: name, instance: times[name], at: asTime(r[3])}
		if sum := asText(r[1]); sum != "" {
			rec.edited = hashed("SHA-1", sha1.New, strings.ToLower(sum))
		}
		times[name]++
		h.records = append(h.records, rec)
	}
	return h, h.sqitchBlocked(ctx, q, t)
}

// sqitchBlocked reads whether the registry has our release.
func (h *history) sqitchBlocked(ctx context.Context, q *querier, t *table) error {
	releases, err := q.sibling(ctx, Sqitch, t, sqitchReleases(t))
	if err != nil || releases == nil {
		return err
	}
	rows, err := q.rows(ctx, releases, []string{q.ident("installer_name")}, "")
	for _, r := range rows {
		h.blocked = h.blocked || asText(r[0]) == blockRow
	}
	return err
}

func lockSqitch(ctx context.Context, q *querier, _ *table) (*toolLock, error) {
	switch q.dialect {
	case sqltext.PostgreSQL:
		return advisory(75474063), nil
	case sqltext.MySQL:
		name, err := q.databaseName(ctx)
		if err != nil || strings.ContainsAny(name, `'\`) {
			return nil, err
		}
		return namedLock("sqitch working on " + name), nil
	}
	return nil, nil
}
