package database

// Backend returns the number of the server's process or session that executes the statements of a
// Run, as the server lists it to whoever looks after it (pg_stat_activity, SHOW PROCESSLIST). It is 0 where there is none,
// and where it is not known. It asks the server nothing.
func Backend(r Run) int64 {
	if b, ok := r.(interface{ Backend() int64 }); ok {
		return b.Backend()
	}
	return 0
}
