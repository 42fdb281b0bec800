package memdb

import (
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// The powers of this driver. A method that is lost, or that has another signature, fails to
// compile.
var (
	_ interface {
		drivers.Database
		database.Cloner
		database.HolderReader
		database.Backfiller
	} = (*Database)(nil)
	_ interface {
		drivers.Tx
		database.BackfillTx
	} = (*transaction)(nil)
	_ database.Run = (*run)(nil)
)
