package mysql

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// lookForBlocker is the interval between checks whether a statement is blocked.
const lookForBlocker = time.Second

// tellBlocked reports, until stop is called, when the worker's statement waits for another
// transaction, and which one if the server can tell. It asks on the guard, which is otherwise idle.
func (r *run) tellBlocked() (stop func()) {
	if r.blocked == nil {
		return func() {}
	}
	g, worker := r.h.guard, r.h.worker.id
	return drivers.Every(lookForBlocker, lookForBlocker, func(ctx context.Context) bool {
		if !g.mu.TryLock() {
			return true // another function is ending the statement
		}
		h, waits := g.blocker(worker)
		g.mu.Unlock()
		if waits && ctx.Err() == nil {
			r.blocked(database.Blockage{Blockers: []database.Blocker{{Holder: h}}})
		}
		return true
	})
}

// blocker reports whether a connection waits for a lock, and who holds that lock.
func (g *guard) blocker(worker int64) (h database.Holder, waits bool) {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	ask := func(query string, args ...any) (id int64) {
		var n sql.NullInt64
		if g.c.QueryRowContext(ctx, mycatalog.Whole(query), args...).Scan(&n) != nil {
			return 0 // the server has no such table, or the user can't read it
		}
		return n.Int64
	}
	var state sql.NullString
	if err := g.c.QueryRowContext(ctx, mycatalog.Whole("SELECT state FROM information_schema.processlist WHERE id = ?"), worker).Scan(&state); err != nil {
		return h, false
	}
	s := strings.ToLower(state.String)
	var id int64
	if strings.HasPrefix(s, "waiting for") && strings.Contains(s, "lock") {
		waits = true
		// A transaction that used the table holds the lock. If the server can't identify it, it is
		// known only if there is just one.
		id = ask("SELECT min(l.thread_id) FROM information_schema.metadata_lock_info l JOIN information_schema.innodb_trx t ON t.trx_mysql_thread_id = l.thread_id WHERE l.thread_id NOT IN (?, ?)", worker, g.id)
		if id == 0 {
			id = ask("SELECT IF(count(*) = 1, min(trx_mysql_thread_id), 0) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id NOT IN (?, ?)", worker, g.id)
		}
	} else {
		id = ask(`SELECT min(b.trx_mysql_thread_id) FROM information_schema.innodb_lock_waits w JOIN information_schema.innodb_trx b ON b.trx_id = w.blocking_trx_id
JOIN information_schema.innodb_trx r ON r.trx_id = w.requesting_trx_id WHERE r.trx_mysql_thread_id = ?`, worker)
		waits = id != 0
	}
	if id == 0 {
		return h, waits
	}
	h = database.Holder{PID: id}
	var user, host, query, since sql.NullString
	err := g.c.QueryRowContext(ctx, mycatalog.Whole(`SELECT p.user, p.host, LEFT(p.info, 200), (SELECT CAST(CONVERT_TZ(trx_started, @@session.time_zone, '+00:00') AS char(26)) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = p.id)
FROM information_schema.processlist p WHERE p.id = ?`), id).Scan(&user, &host, &query, &since)
	if err == nil {
		h.User, h.Query = user.String, query.String
		h.Host, _, _ = strings.Cut(host.String, ":")
		h.Since, _ = parseTime(since.String)
	}
	return h, waits
}
