package postgres

import "github.com/jackc/pgx/v5/pgconn"

// Backend implements database.Backend. It returns 0 behind a pooler, where each transaction may run
// in another process.
func (r *run) Backend() (pid int64) {
	if r.pooled {
		return 0
	}
	r.worker.with(func(pc *pgconn.PgConn) { pid = int64(pc.PID()) })
	return pid
}
