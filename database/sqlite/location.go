package sqlite

import "github.com/whimbrel-db/whimbrel/database"

var _ database.Locator = (*db)(nil)

// Location returns the file's path.
func (d *db) Location() string { return d.path }
