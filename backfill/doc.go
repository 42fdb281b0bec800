// Package backfill executes detached backfills on River, a job queue in the database itself.
package backfill
