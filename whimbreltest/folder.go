package whimbreltest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ownFolder returns the folder of this user's SQLite files, and creates it if necessary. Others can
// create a folder of this name in a shared folder for temporary files, so it must belong to the
// user alone.
func ownFolder() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("whimbreltest-%d", max(os.Geteuid(), 0)))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return "", err
	case !info.IsDir() || !private(info):
		return "", fmt.Errorf("%s is not a folder that belongs to this user alone; remove it, or set Options.URL to a file in another folder", dir)
	}
	return dir, nil
}
