package postgres

import "github.com/jackc/pgx/v5"

// Backend is for database.Backend. Behind a pooler each transaction may meet another.
func (r *run) Backend() (pid int64) {
	if r.pooled {
		return 0
	}
	r.worker.use(func(pc *pgx.Conn) error {
		pid = int64(pc.PgConn().PID())
		return nil
	})
	return pid
}
