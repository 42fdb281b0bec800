package localserver

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
)

// found is a folder with the programs of a server.
type found struct{ folder, version string }

var versionNumber = lazyregexp.New(`\d+(\.\d+)+`)

// search returns the folders that have all the programs, with the version of the last of them.
func search(ctx context.Context, folders []string, programs ...string) []found {
	var all []found
	for _, folder := range folders {
		if slices.ContainsFunc(programs, func(p string) bool { return !executable(filepath.Join(folder, p)) }) {
			continue
		}
		out, err := exec.CommandContext(ctx, filepath.Join(folder, programs[len(programs)-1]), "--version").Output()
		if v := versionNumber.FindString(string(out)); err == nil && v != "" {
			all = append(all, found{folder, v})
		}
	}
	return all
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// best prefers the major version of opts, then the newest version.
func best(all []found, opts Options) found {
	return slices.MaxFunc(all, func(a, b found) int {
		if opts.Version != "" {
			as, bs := SameMajor(opts.Dialect, a.version, opts.Version), SameMajor(opts.Dialect, b.version, opts.Version)
			if as != bs {
				if as {
					return 1
				}
				return -1
			}
		}
		return compareVersions(a.version, b.version)
	})
}

func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, _ := strconv.Atoi(as[i])
		y, _ := strconv.Atoi(bs[i])
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

// places returns the folders to search: those of $PATH, and those that match the patterns.
func places(opts Options, patterns ...string) []string {
	all := slices.Clone(opts.Path)
	for _, p := range patterns {
		matches, _ := filepath.Glob(p) // the patterns are valid
		all = append(all, matches...)
	}
	return all
}
