package sqlite

// Location returns the path of the database file.
func (d *db) Location() string { return d.path }
