package sqlite

import (
	"fmt"
	"strings"

	client "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// codeName returns the name of an extended result code, or "" for 0.
func codeName(c int) string {
	if c == 0 {
		return ""
	}
	m := primaryName.FindStringSubmatch(client.ErrorCodeString[c&0xff])
	if m == nil {
		return fmt.Sprintf("SQLITE_%d", c)
	}
	if names := strings.Fields(extended[c&0xff]); c>>8 > 0 && c>>8 <= len(names) {
		return m[1] + "_" + names[c>>8-1]
	}
	return m[1]
}

// primaryName matches the name in the client's text of a primary code.
var primaryName = lazyregexp.New(`\((SQLITE_\w+)\)$`)

// extended are the names of the extended codes of a primary code, which SQLite numbers from 1.
var extended = map[int]string{
	lib.SQLITE_ERROR:    "MISSING_COLLSEQ RETRY SNAPSHOT",
	lib.SQLITE_ABORT:    "1 ROLLBACK",
	lib.SQLITE_BUSY:     "RECOVERY SNAPSHOT TIMEOUT",
	lib.SQLITE_LOCKED:   "SHAREDCACHE VTAB",
	lib.SQLITE_READONLY: "RECOVERY CANTLOCK ROLLBACK DBMOVED CANTINIT DIRECTORY",
	lib.SQLITE_IOERR: "READ SHORT_READ WRITE FSYNC DIR_FSYNC TRUNCATE FSTAT UNLOCK RDLOCK DELETE BLOCKED NOMEM ACCESS " +
		"CHECKRESERVEDLOCK LOCK CLOSE DIR_CLOSE SHMOPEN SHMSIZE SHMLOCK SHMMAP SEEK DELETE_NOENT MMAP GETTEMPPATH",
	lib.SQLITE_CORRUPT:    "VTAB SEQUENCE INDEX",
	lib.SQLITE_CANTOPEN:   "NOTEMPDIR ISDIR FULLPATH CONVPATH DIRTYWAL SYMLINK",
	lib.SQLITE_CONSTRAINT: "CHECK COMMITHOOK FOREIGNKEY FUNCTION NOTNULL PRIMARYKEY TRIGGER UNIQUE VTAB ROWID PINNED DATATYPE",
}
