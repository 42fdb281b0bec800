// Program floor links what the whimbrel command needs for its databases, and does nothing. The time
// that it takes is what any such program needs to start.
package main

import (
	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite"
)

func main() {}
