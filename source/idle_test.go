package source_test

import (
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/source"
)

// together is a file system that opens scripts only when as many are being opened as it waits for.
type together struct {
	fs.FS
	mu    sync.Mutex
	waits int
	open  chan struct{}
	at    atomic.Int64 // how many are being opened now
	most  atomic.Int64 // at the same time
}

func (f *together) Open(name string) (fs.File, error) {
	if !strings.HasSuffix(name, ".sql") {
		return f.FS.Open(name)
	}
	n := f.at.Add(1)
	defer f.at.Add(-1)
	for most := f.most.Load(); n > most && !f.most.CompareAndSwap(most, n); most = f.most.Load() {
	}
	f.mu.Lock()
	if f.waits--; f.waits == 0 {
		close(f.open)
	}
	f.mu.Unlock()
	<-f.open
	return f.FS.Open(name)
}

// Read leaves a processor to the caller until that is idle.
func TestReadWhileTheCallerIsIdle(t *testing.T) {
	files := fstest.MapFS{}
	for i := range 20 {
		files[fmt.Sprintf("%02d_a.up.sql", i+1)] = &fstest.MapFile{Data: []byte("SELECT 1;")}
	}
	alone := max(1, min(4, runtime.GOMAXPROCS(0)-1)) // how many files are read at a time
	idle := make(chan struct{})
	for _, want := range []int{alone, alone + 1} {
		fsys := &together{FS: files, waits: want, open: make(chan struct{})}
		set, err := source.Read(fsys, source.Options{Format: source.Native, Idle: idle})
		if err != nil {
			t.Fatal(err)
		}
		if set.Len() != 20 || fsys.most.Load() != int64(want) {
			t.Errorf("%d files are read, %d at a time; want 20, %d at a time", set.Len(), fsys.most.Load(), want)
		}
		if want == alone {
			close(idle)
		}
	}
}
