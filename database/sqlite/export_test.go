package sqlite

// UseClient makes another driver of database/sql the client, for the whole process.
func UseClient(name string) { clientName = name }
