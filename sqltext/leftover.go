package sqltext

// Leftover returns what a statement outside a transaction can leave behind if it is interrupted,
// such as "an invalid index"; "" for nothing. It never returns anything for a statement that can be
// in a transaction.
func (st Statement) Leftover(d Dialect) string {
	if d != PostgreSQL || st.Kind != SQL {
		return ""
	}
	l := List(st.Text, d)
	switch concurrently := l.Index("CONCURRENTLY") > 0; {
	case l.Is(0, "CREATE") && concurrently && l.Any(1, "INDEX", "UNIQUE"), l.Is(0, "DROP") && l.Is(1, "INDEX", "CONCURRENTLY"):
		return "an invalid index"
	case l.Is(0, "REINDEX") && (concurrently || l.Inside(1).Index("CONCURRENTLY") >= 0):
		return "an invalid temporary index"
	case l.Is(0, "ALTER") && l.Is(1, "TABLE") && concurrently && l.Index("DETACH", "PARTITION") > 0:
		return "a partition whose detachment is pending"
	}
	return ""
}
