// Command whimbrel brings databases from the schema they have to the schema that a
// folder of SQL files describes. "whimbrel help" says how.
package main

import (
	"os"

	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/cli"
)

func main() {
	postponeGC()
	os.Exit(cli.Main(nil))
}
