// Package backfill executes detached backfills on River, a job queue in the database itself.
package backfill

import (
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"riverqueue.com/riverui"
)

var (
	_ river.Config
	_ riverpgxv5.Driver
	_ riversqlite.Driver
	_ rivermigrate.Config
	_ riverui.HandlerOpts
)
