package source

import (
	"io"
	"io/fs"
	"os"
)

// Dir returns the folder at a path on disk. It is what [os.DirFS] returns, and is read
// faster.
func Dir(path string) fs.FS { return dir{os.DirFS(path).(onDisk), path} }

// onDisk is what os.DirFS promises of its result.
type onDisk interface {
	fs.ReadDirFS
	fs.StatFS
}

type dir struct {
	onDisk
	path string
}

// openText opens a file that will be read from its beginning, and nothing else.
func openText(fsys fs.FS, name string) (io.ReadCloser, error) {
	if d, ok := fsys.(dir); ok && d.path != "" && fs.ValidPath(name) {
		return openPlainly(d.path+"/"+name, name)
	}
	return fsys.Open(name)
}
