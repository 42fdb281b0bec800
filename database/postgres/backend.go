package postgres

import "github.com/jackc/pgx/v5"

// Backend implements database.Backend. It returns 0 behind a pooler, where each transaction may run
// in another process.
func (r *run) Backend() (pid int64) {
	if r.pooled {
		return 0
	}
	r.worker.with(func(pc *pgx.Conn) { pid = int64(pc.PgConn().PID()) })
	return pid
}
