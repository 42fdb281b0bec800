// Package backfill executes detached backfills on River, a job queue in the database itself.
//
// A migration that is a backfill (VERSION_name.backfill.sql) and that is detached is started by
// [whimbrel.Migrator.Up], which does not wait for it. Workers execute it, in any number of
// processes, on any machine:
//
//   - [Work] runs a client of River for a database's URL, as the command "whimbrel work" does;
//   - [Register] adds the jobs to a program's own River client.
//
// A job of River is a slot for one worker. It claims rows of a backfill, changes them in batches
// for a short time, and then makes room for other jobs of the queue. Whimbrel's tables, not the
// jobs, record which rows are done: a batch commits together with its position, and a worker that
// was killed loses its rows when its lease ends. A job that is lost, run twice or cancelled
// therefore costs only time. Leases also limit how many workers all processes together have.
//
// River's tables are a set of migrations ([River]), which [MigrateRiver] applies. River works in
// PostgreSQL and SQLite. In other databases, [whimbrel.Migrator.RunBackfill] executes a backfill
// without a queue.
package backfill
