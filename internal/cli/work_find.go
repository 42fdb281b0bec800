package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// findWork returns the path of whimbrel-work: beside this program, or in PATH.
func (a *app) findWork() (string, error) {
	name := workProgram
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if self, err := os.Executable(); err == nil {
		folders := []string{filepath.Dir(self)}
		if real, err := filepath.EvalSymlinks(self); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
		for _, dir := range folders {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, nil
			}
		}
	}
	return exec.LookPath(name)
}
