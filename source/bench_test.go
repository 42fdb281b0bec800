package source_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/source"
)

// thousandFiles writes 1,000 files, 500 pairs, of some 400 bytes each.
func thousandFiles(tb testing.TB) fs.FS {
	dir := tb.TempDir()
	body := strings.Repeat("ALTER TABLE parcels ADD COLUMN weight_%d numeric NOT NULL DEFAULT 0;\n", 6)
	for i := range 500 {
		for _, direction := range []string{"up", "down"} {
			name := filepath.Join(dir, fmt.Sprintf("%04d_step.%s.sql", i+1, direction))
			if err := os.WriteFile(name, []byte(body), 0o600); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return source.Dir(dir)
}

func BenchmarkRead1000Files(b *testing.B) {
	fsys := thousandFiles(b)
	for name, opts := range map[string]source.Options{"all": {}, "without downs": {DeferDowns: true}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := source.Read(fsys, opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRead20MB(b *testing.B) {
	dir := b.TempDir()
	line := "INSERT INTO ports (code, name) VALUES ('XXAMS', 'a port that is not there');\n"
	text := strings.Repeat(line, 20<<20/len(line))
	if err := os.WriteFile(filepath.Join(dir, "1_ports.up.sql"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := source.Read(os.DirFS(dir), source.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
