package postgres

import (
	"fmt"
	"iter"
	"strconv"

	"github.com/whimbrel-db/whimbrel/migration"
)

// timeouts returns the settings for a script's directives.
func timeouts(d migration.Directives) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		if d.LockTimeout > 0 && !yield("lock_timeout", strconv.FormatInt(d.LockTimeout.Milliseconds(), 10)) {
			return
		}
		if d.StatementTimeout > 0 {
			yield("statement_timeout", strconv.FormatInt(d.StatementTimeout.Milliseconds(), 10))
		}
	}
}

// setConfig sets a setting to the value of an SQL expression, which must look up nothing.
func setConfig(name, value string, local bool) query {
	return query{sql: fmt.Sprintf("SELECT pg_catalog.set_config(%s, %s, %t)", literal(name), value, local), path: callers}
}
