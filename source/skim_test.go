package source

import (
	"reflect"
	"testing"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The result doesn't depend on the pieces in which a file is read.
func FuzzSkim(f *testing.F) {
	for _, text := range []string{
		"\ufeff-- hasura:no-transaction\r\n/*! x */ -- whimbrel: empty\n",
		"-- +goose Up\nSELECT E'\\'', $a$ $ $$ $a$, \"x\", `y`; # x\n# y\n-- whimbrel: y\n-- +goose Down\n  \n",
		"/*M! x */ - / {{ü}} x$1$ e'\\' '-- whimbrel:'\n---- create above / drop below ----\n---- tern: disable-tx ----",
		"--", "/", "/*", "/* a/*.sql */ x", "/*/*/ x", "/* a/* */ -- whimbrel: x\n", "\ufeff", "\xef\xbb", "-- migrate:up transaction:false", "\n\n", "/* /* */ x */ --whimbrel : é",
	} {
		for d := range uint(4) {
			f.Add(text, 7*d+2)
		}
	}
	f.Fuzz(func(t *testing.T, text string, size uint) {
		d := sqltext.Dialect(size / 7 % 4)
		size = size%7 + 1
		all := func(Format) bool { return true }
		whole, pieces := newSkim(all, d), newSkim(all, d)
		whole.Write([]byte(text)) // never fails
		whole.finish()
		for p := []byte(text); len(p) > 0; p = p[min(len(p), int(size)):] {
			pieces.Write(p[:min(len(p), int(size))])
		}
		pieces.finish()
		type found struct {
			parts []part
			marks []mark
			first string
			bom   bool
		}
		a := found{whole.parts, whole.marks, whole.firstLine, whole.bom}
		b := found{pieces.parts, pieces.marks, pieces.firstLine, pieces.bom}
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%q in pieces of %d:\n%+v\nwhole:\n%+v", text, size, b, a)
		}
		for _, p := range a.parts {
			if p.start > p.end {
				t.Errorf("%q: p.start = %v, want at most %v", text, p.start, p.end)
			}
			if p.end > int64(len(text)) {
				t.Errorf("%q: p.end = %v, want at most %v", text, p.end, int64(len(text)))
			}
		}
	})
}
