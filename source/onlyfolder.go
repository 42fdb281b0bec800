package source

import (
	"io/fs"
	"strings"
)

// OnlyFolder returns the name of the folder that is all that the root of a file system contains, as
// in an embed.FS of "migrations", or "". A folder whose name begins with a digit is a migration.
func OnlyFolder(files fs.FS) string {
	entries, err := fs.ReadDir(files, ".")
	if err != nil || len(entries) != 1 || !entries[0].IsDir() {
		return ""
	}
	name := entries[0].Name()
	if strings.HasPrefix(name, ".") || name[0] >= '0' && name[0] <= '9' {
		return ""
	}
	return name
}
