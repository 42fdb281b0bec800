package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresStore keeps leases in PostgreSQL.
type postgresStore struct{ pool *pgxpool.Pool }

func (s postgresStore) prepare(ctx context.Context, limits []limit) error {
	for _, l := range limits {
		_, err := s.pool.Exec(ctx, `
			INSERT INTO jobs.leases (queue, slot) SELECT $1, generate_series(1, $2::integer)
			ON CONFLICT DO NOTHING`, l.queue, l.slots)
		if err != nil {
			return err
		}
	}
	return nil
}

var errNoFreeSlot = errors.New("no free slot")

// claim locks the row of a free slot, so two processes never take the same. It skips rows that
// others have locked: they are being taken, or a job's fence protects them.
func (s postgresStore) claim(ctx context.Context, limits []limit, l Lease, token string, length time.Duration) (bool, error) {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		for _, limit := range limits {
			tag, err := tx.Exec(ctx, `
				WITH free AS MATERIALIZED (
					SELECT queue, slot FROM jobs.leases
					WHERE queue = $1 AND slot <= $2 AND ends <= clock_timestamp()
					ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED
				)
				UPDATE jobs.leases l SET token = $3, job_id = $4, client = $5, ends = clock_timestamp() + $6
				FROM free WHERE l.queue = free.queue AND l.slot = free.slot`,
				limit.queue, limit.slots, token, l.JobID, l.Client, length)
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return errNoFreeSlot
			}
		}
		return nil
	})
	if errors.Is(err, errNoFreeSlot) {
		return false, nil
	}
	return err == nil, err
}

// renew also renews a lease that has ended, if nobody has taken the slot since.
func (s postgresStore) renew(ctx context.Context, token string, n int, length time.Duration) (bool, error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE jobs.leases SET ends = clock_timestamp() + $2 WHERE token = $1`, token, length)
	return tag.RowsAffected() == int64(n), err
}

func (s postgresStore) release(ctx context.Context, token string) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE jobs.leases SET token = NULL, job_id = NULL, client = NULL, ends = '-infinity'
		WHERE token = $1`, token)
	return err
}

// fence takes a lock that keeps claim from the rows, and lets renew update them.
func (s postgresStore) fence(ctx context.Context, tx pgx.Tx, token string, n int) (bool, error) {
	tag, err := tx.Exec(ctx, `SELECT FROM jobs.leases WHERE token = $1 FOR KEY SHARE`, token)
	return tag.RowsAffected() == int64(n), err
}

func (s postgresStore) list(ctx context.Context) ([]Lease, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT queue, slot, job_id, client, ends FROM jobs.leases
		WHERE ends > clock_timestamp() ORDER BY queue, slot`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Lease])
}

func (s postgresStore) counts(ctx context.Context) (Counts, error) {
	rows, err := s.pool.Query(ctx, `SELECT queue, state::text, count(*) FROM jobs.river_job GROUP BY queue, state`)
	if err != nil {
		return nil, err
	}
	all := Counts{}
	var queue, state string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&queue, &state, &n}, func() error {
		all.add(queue, state, n)
		return nil
	})
	return all, err
}
