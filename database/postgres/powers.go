package postgres

import "github.com/whimbrel-db/whimbrel/database"

// The powers of this driver. A missing method, or one with another signature, fails to compile.
var (
	_ interface {
		database.Database
		database.SettingUpdater
		database.MetadataReader
		database.Querier
		database.Snapshotter
		database.Scratcher
		database.Locator
		database.Identifier
	} = (*Database)(nil)
	_ interface {
		database.Tx
		database.Resetter
		database.MetadataTx
		database.Querier
	} = (*transaction)(nil)
	_ interface {
		database.Run
		database.Backender
	} = (*run)(nil)
)
