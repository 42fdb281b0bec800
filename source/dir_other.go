//go:build !unix

package source

import (
	"io"
	"os"
	"path/filepath"
)

const dontWait = 0

func openPlainly(path, _ string) (io.ReadCloser, error) {
	path = filepath.FromSlash(path)
	info, err := os.Stat(path)
	if err == nil {
		err = regular(info)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &osFile{f, info.Size()}, nil
}
