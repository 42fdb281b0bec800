package source

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file that a pipe or a device has replaced since it was listed is refused, whatever it says.
func TestBeginRefusesWhatHasReplacedAFile(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	silent, talking := filepath.Join(folder, "1_a.up.sql"), filepath.Join(folder, "2_b.up.sql")
	for _, err := range []error{
		syscall.Mkfifo(silent, 0o600),
		syscall.Mkfifo(talking, 0o600),
		os.Symlink("/dev/null", filepath.Join(folder, "3_c.up.sql")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	writer, err := os.OpenFile(talking, os.O_RDWR, 0) // which does not wait for a reader
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if _, err := writer.WriteString("SELECT 1;"); err != nil {
		t.Fatal(err)
	}
	fsys := Dir(folder)
	in := openRoot(fsys)
	defer in.close()
	in.cached = true // whatever the tests' folder is on
	for name, want := range map[string]string{"1_a.up.sql": "it is a pipe", "2_b.up.sql": "it is a pipe", "3_c.up.sql": "it is a device"} {
		f := &file{name: name, path: name}
		text, rest, err := f.begin(fsys, in, make([]byte, shortText))
		if err == nil || !strings.Contains(err.Error(), want) || rest != nil {
			t.Errorf("%s: %q, %v, %v; want an error with %q", name, text, rest, err, want)
		}
	}
}
