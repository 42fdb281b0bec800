//go:build !unix

package source

import (
	"io"
	"os"
	"path/filepath"
)

func openPlainly(path, _ string) (io.ReadCloser, error) { return os.Open(filepath.FromSlash(path)) }
