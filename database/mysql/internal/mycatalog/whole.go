package mycatalog

import "strings"

// Everything is a number of rows that no answer has, and that the server still takes for a limit. A
// LIMIT goes before sql_select_limit, which the server, a user or a program may have set, and with
// which an answer would silently lack rows. Behind a condition it also lets sql_safe_updates pass.
const Everything = " LIMIT 9223372036854775807"

// Whole makes a query one whose answer no setting cuts off. What is no SELECT, or has a LIMIT, is
// returned as it is.
func Whole(query string) string {
	const locking = " LOCK IN SHARE MODE"
	if !strings.HasPrefix(query, "SELECT ") || strings.Contains(query, " LIMIT ") {
		return query
	}
	if head, ok := strings.CutSuffix(query, locking); ok {
		return head + Everything + locking
	}
	return query + Everything
}
