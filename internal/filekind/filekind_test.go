package filekind

import (
	"fmt"
	"io/fs"
	"testing"
)

func TestRegular(t *testing.T) {
	t.Parallel()
	if err := Regular(0o644); err != nil {
		t.Errorf("a regular file is refused: %v", err)
	}
	for mode, want := range map[fs.FileMode]string{
		fs.ModeDir | 0o755:                "it is a folder, not a regular file",
		fs.ModeNamedPipe:                  "it is a pipe, not a regular file",
		fs.ModeSocket:                     "it is a socket, not a regular file",
		fs.ModeDevice | fs.ModeCharDevice: "it is a device, not a regular file",
		fs.ModeIrregular:                  "it is a special file, not a regular file",
	} {
		if got := fmt.Sprint(Regular(mode)); got != want {
			t.Errorf("%v: got %s, want %s", mode, got, want)
		}
	}
}
