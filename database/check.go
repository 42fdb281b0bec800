package database

import "github.com/whimbrel-db/whimbrel/sqltext"

// Checker is a Database that refuses some statements, in whatever script they are: one that drops the database which is
// migrated, say. Whoever plans asks for those that an Analysis suspects, so that nothing runs before such a statement.
type Checker interface {
	// Check says why a statement can't be executed, "" if it can. It asks the server nothing.
	Check(st sqltext.Statement) (why string)
}

// Check asks a Database that is a Checker; others refuse nothing.
func Check(db Database, st sqltext.Statement) (why string) {
	if c, ok := db.(Checker); ok {
		return c.Check(st)
	}
	return ""
}
