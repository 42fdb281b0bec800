package main

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/charmbracelet/x/ansi"

	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// A real terminal shows who blocks a migration, as long as it waits, and then nothing of it.
func TestBlockedOnAPseudoTerminal(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("1_t.up.sql", "CREATE TABLE t (x int);")
	c := command(t, url, dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	write("2_note.up.sql", "ALTER TABLE t ADD COLUMN note text;")
	db, err := openSQL(url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reader := begun(t, db, "SELECT * FROM t")

	terminal, inside := openTerminal(t, 60, 20)
	c = command(t, url, dir, "--lock-timeout", "1s", "--retry-for", "1h")
	c.Stdin, c.Stdout, c.Stderr = inside, inside, inside
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill() }() // it has ended unless the test failed
	inside.Close()
	var screen output
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 4096)
		for {
			n, err := terminal.Read(b)
			_, _ = screen.Write(b[:n])
			if err != nil { // EIO: the other side is closed
				return
			}
		}
	}()
	shown := regexp.MustCompile(`ALTER TABLE t ADD COLUMN note text[^\n]*\r\n +(waiting [0-9.]+s for|needs) AccessExclusiveLock on public\.t(?s:.*)blocked by:(?s:.*)pid \d+, (?s:.*)last query: SELECT \* FROM t(?s:.*)attempt \d+`)
	for !shown.MatchString(ansi.Strip(screen.String())) {
		select {
		case <-ended:
			t.Fatalf("the command has ended:\n%s", ansi.Strip(screen.String()))
		case <-time.After(10 * time.Millisecond): // the test's own time limit ends it
		}
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if err := c.Wait(); err != nil {
		t.Errorf("%v\n%s", err, ansi.Strip(screen.String()))
	}
	text := screen.String()
	last := text[strings.LastIndex(text, ansi.EraseScreenBelow)+len(ansi.EraseScreenBelow):]
	if got := ansi.Strip(last); !regexp.MustCompile(`^(\r[^\r\n]*)*up   2 note +[0-9.]+m?s, after \d+ retr(y|ies) in [0-9.]+s\r\nApplied 1 migration in [0-9.]+m?s\.\r\n$`).MatchString(got) {
		t.Errorf("in the end, the terminal shows %q", got)
	}
}

func command(t *testing.T, url, dir string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("whimbrel")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, append([]string{"up", "--database", url, "--dir", dir}, args...)...)
	c.Dir, c.Env = t.TempDir(), append(os.Environ(), "TERM=xterm")
	return c
}

func begun(t *testing.T, db *sql.DB, statement string) *sql.Tx {
	t.Helper()
	tx, err := db.Begin()
	if err == nil {
		_, err = tx.Exec(statement)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// openTerminal opens a pseudo-terminal of a size and returns its two sides.
func openTerminal(t *testing.T, columns, rows uint16) (outside, inside *os.File) {
	t.Helper()
	outside, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { outside.Close() })
	control := func(f *os.File, request uintptr, value unsafe.Pointer) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(value)); errno != 0 {
			t.Fatal(errno)
		}
	}
	var locked, number int32
	control(outside, syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	control(outside, syscall.TIOCGPTN, unsafe.Pointer(&number))
	inside, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	size := [4]uint16{rows, columns}
	control(inside, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	return outside, inside
}
