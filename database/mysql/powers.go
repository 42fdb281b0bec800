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
		database.Checker
		database.Cloner
	} = (*Database)(nil)
	_ drivers.Tx = (*transaction)(nil)
	_ interface {
		database.Run
		database.Backender
	} = (*run)(nil)
)
