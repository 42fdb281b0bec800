// Command archive packs a folder so that the same files always lead to the same bytes:
//
//	go run ./internal/archive SECONDS ARCHIVE FOLDER
//
// ARCHIVE ends in .tar.gz or .zip. All files get one time, SECONDS since 1970. Their order, owner
// and mode depend on their names alone. The archive's root is one folder, named like FOLDER.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("need three arguments, SECONDS ARCHIVE FOLDER; got %d", len(args))
	}
	seconds, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return err
	}
	pack := tarball
	switch {
	case strings.HasSuffix(args[1], ".tar.gz"):
	case strings.HasSuffix(args[1], ".zip"):
		pack = zipfile
	default:
		return fmt.Errorf("%s is neither a .tar.gz nor a .zip", args[1])
	}
	var b bytes.Buffer
	if err := pack(&b, args[2], time.Unix(seconds, 0).UTC()); err != nil {
		return err
	}
	return os.WriteFile(args[1], b.Bytes(), 0o666)
}

// each calls f for each file of a folder, in the order of the names.
func each(folder string, f func(name string, mode fs.FileMode, content []byte) error) error {
	return filepath.WalkDir(folder, func(file string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return nil
		case !e.Type().IsRegular():
			return fmt.Errorf("%s is not a regular file", file)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, file)
		if err != nil {
			return err
		}
		name = path.Join(filepath.Base(folder), filepath.ToSlash(name))
		return f(name, mode(name), content)
	})
}

// mode returns the mode of a file. Only the programs are executable.
func mode(name string) fs.FileMode {
	switch strings.TrimSuffix(path.Base(name), ".exe") {
	case "whimbrel", "whimbrel-work":
		return 0o755
	}
	return 0o644
}

func tarball(w io.Writer, folder string, at time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	err = each(folder, func(name string, mode fs.FileMode, content []byte) error {
		header := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(mode), Size: int64(len(content)), ModTime: at}
		if err := t.WriteHeader(&header); err != nil {
			return err
		}
		_, err := t.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

func zipfile(w io.Writer, folder string, at time.Time) error {
	z := zip.NewWriter(w)
	err := each(folder, func(name string, mode fs.FileMode, content []byte) error {
		header := zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at}
		header.SetMode(mode)
		f, err := z.CreateHeader(&header)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	return z.Close()
}
