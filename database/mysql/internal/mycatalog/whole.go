package mycatalog

import "strings"

// Everything is a LIMIT that no result reaches. It overrides sql_select_limit, which the server, a
// user or a program may have set, and which would silently cut rows off a result. After a condition
// it also satisfies sql_safe_updates.
const Everything = " LIMIT 9223372036854775807"

// Whole returns a query whose result no setting cuts off. It returns a query unchanged if it is not
// a SELECT or has a LIMIT.
func Whole(query string) string {
	const locking = " LOCK IN SHARE MODE"
	own := strings.LastIndex(query, " LIMIT ") > strings.LastIndex(query, ")") // and not that of a subquery
	if !strings.HasPrefix(query, "SELECT ") || own {
		return query
	}
	if head, ok := strings.CutSuffix(query, locking); ok {
		return head + Everything + locking
	}
	return query + Everything
}
