package sqlite

import (
	"testing"

	lib "modernc.org/sqlite/lib"
)

// The names follow SQLite's numbers, up to the last extended code of each primary one.
func TestCodeNames(t *testing.T) {
	t.Parallel()
	for c, want := range map[int]string{
		0:                                "",
		lib.SQLITE_BUSY:                  "SQLITE_BUSY",
		lib.SQLITE_BUSY_TIMEOUT:          "SQLITE_BUSY_TIMEOUT",
		lib.SQLITE_ABORT_ROLLBACK:        "SQLITE_ABORT_ROLLBACK",
		lib.SQLITE_ERROR_SNAPSHOT:        "SQLITE_ERROR_SNAPSHOT",
		lib.SQLITE_LOCKED_VTAB:           "SQLITE_LOCKED_VTAB",
		lib.SQLITE_READONLY_DIRECTORY:    "SQLITE_READONLY_DIRECTORY",
		lib.SQLITE_IOERR_READ:            "SQLITE_IOERR_READ",
		lib.SQLITE_IOERR_GETTEMPPATH:     "SQLITE_IOERR_GETTEMPPATH",
		lib.SQLITE_CORRUPT_INDEX:         "SQLITE_CORRUPT_INDEX",
		lib.SQLITE_CANTOPEN_SYMLINK:      "SQLITE_CANTOPEN_SYMLINK",
		lib.SQLITE_CONSTRAINT_FOREIGNKEY: "SQLITE_CONSTRAINT_FOREIGNKEY",
		lib.SQLITE_CONSTRAINT_DATATYPE:   "SQLITE_CONSTRAINT_DATATYPE",
		lib.SQLITE_CONSTRAINT | 99<<8:    "SQLITE_CONSTRAINT",
		200:                              "SQLITE_200",
	} {
		if got := codeName(c); got != want {
			t.Errorf("codeName(%d) = %q, want %q", c, got, want)
		}
	}
}
