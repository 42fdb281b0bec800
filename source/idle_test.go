package source_test

import (
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/whimbrel-db/whimbrel/source"
)

// together is a file system whose scripts open only when as many are being opened as it waits for.
type together struct {
	fs.FS
	mu    sync.Mutex
	waits int
	open  chan struct{}
}

func (f *together) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, ".sql") {
		f.mu.Lock()
		if f.waits--; f.waits == 0 {
			close(f.open)
		}
		f.mu.Unlock()
		<-f.open
	}
	return f.FS.Open(name)
}

// Read leaves a processor to the caller until that is idle.
func TestReadWhileTheCallerIsIdle(t *testing.T) {
	files := fstest.MapFS{}
	for i := range 20 {
		files[fmt.Sprintf("%02d_a.up.sql", i+1)] = &fstest.MapFile{Data: []byte("SELECT 1;")}
	}
	alone := max(1, min(4, runtime.GOMAXPROCS(0)-1)) // how many files are read at a time
	fsys := &together{FS: files, waits: alone + 1, open: make(chan struct{})}
	idle, read := make(chan struct{}), make(chan error)
	go func() {
		set, err := source.Read(fsys, source.Options{Format: source.Native, Idle: idle})
		if err == nil && set.Len() != 20 {
			err = fmt.Errorf("%d migrations are read, want 20", set.Len())
		}
		read <- err
	}()
	for fsys.left() > 1 {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-read:
		t.Fatalf("Read returned while a file is waited for: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if left := fsys.left(); left != 1 {
		t.Errorf("%d files are read before the caller is idle, want %d", alone+1-left, alone)
	}
	close(idle)
	if err := <-read; err != nil {
		t.Error(err)
	}
}

// left returns how many files are still waited for.
func (f *together) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waits
}
