package whimbrel

import "github.com/whimbrel-db/whimbrel/sqltext"

// sameStatements reports whether two texts differ in comments and white space alone.
func sameStatements(a, b string, d sqltext.Dialect) bool {
	return sqltext.Equivalent(a, b, d)
}
