package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// On a terminal, a timestamp in a folder with numbers needs a yes.
func TestNewAsksAboutTimestamps(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]int{"y\n": exitDone, "Yes\n": exitDone, "n\n": exitUsage, "\n": exitUsage, "": exitUsage} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "0007_a.up.sql"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := ask(answer, "new", "b", "--timestamp", "--dir", dir)
		if code != want {
			t.Errorf("%q: exit code %d, want %d: %s", answer, code, want, stderr)
		}
		wantContains(t, "question", stderr, "the newest is 0007; after a timestamp, all later ones must be timestamps.\nCreate a timestamp? [y/N] ")
		files, err := filepath.Glob(filepath.Join(dir, "20*_b.up.sql"))
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "new files", len(files) == 1, want == exitDone)
	}
}
