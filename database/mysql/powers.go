package mysql

import (
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// The powers of this driver. A missing method, or one with another signature, fails to compile.
var (
	_ interface {
		drivers.Database
		database.Locator
		database.Identifier
		database.HolderReader
		database.StatusReader
		database.Checker
		database.Cloner
		database.Backfiller
	} = (*Database)(nil)
	_ interface {
		drivers.Tx
		database.BackfillTx
	} = (*transaction)(nil)
	_ interface {
		database.Run
		database.Backender
	} = (*run)(nil)
)
