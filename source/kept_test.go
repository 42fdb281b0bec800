package source

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/whimbrel-db/whimbrel/migration"
)

// Above a number of bytes no more texts are kept in memory: they are opened again when they run, as
// long ones are.
func TestTextsOfAFolderAreBounded(t *testing.T) {
	defer func(n int64) { maxKeptTexts = n }(maxKeptTexts)
	maxKeptTexts = 100
	text := strings.Repeat("SELECT 1;\n", 20)
	sections := "-- +goose Up\n" + text + "-- +goose Down\n" + text
	for format, fsys := range map[Format]fstest.MapFS{
		Native: {"1_a.up.sql": {Data: []byte(text)}, "2_b.up.sql": {Data: []byte(text)}, "3_c.up.sql": {Data: []byte(text)}},
		Goose:  {"1_a.sql": {Data: []byte(sections)}, "2_b.sql": {Data: []byte("\ufeff" + sections)}, "3_c.sql": {Data: []byte(sections)}},
	} {
		set, err := Read(fsys, Options{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		for name := range fsys { // a text that is not kept can change
			fsys[name].Data = []byte("SELECT 2;")
		}
		kept, changed := 0, 0
		for _, m := range set.All() {
			switch got, _, err := m.Up.Text(migration.KeepInMemory); {
			case err == nil && strings.TrimSpace(got) == strings.TrimSpace(text):
				kept++
			case err != nil:
				changed++
			}
		}
		if kept == 0 {
			t.Errorf("%s: kept is 0", format)
		}
		if changed == 0 {
			t.Errorf("%s: changed is 0", format)
		}
	}
}
