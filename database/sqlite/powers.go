package sqlite

import (
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// The powers of this driver. A missing method, or one with another signature, fails to compile.
var (
	_ interface {
		drivers.Database
		database.Locator
		database.Cloner
		database.HolderReader
		database.Checker
		database.WriteBlocker
		database.Backfiller
	} = (*db)(nil)
	_ interface {
		drivers.Tx
		database.Chainer
		database.BackfillTx
	} = (*transaction)(nil)
	_ database.Run = (*run)(nil)
)
