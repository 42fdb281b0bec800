package source_test

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A folder in a fuzz test is a text: entries of a path, the kinds of oddness that it has, and a
// content.
const (
	entryEnd = "\x1e"
	fieldEnd = "\x1f"
)

// The oddnesses of an entry, each a letter of its kinds.
const (
	oddFolder     = 'd' // a folder
	oddLink       = 'l' // listed as a link; the content is what it is
	oddPipe       = 'p' // of a mode that is not a regular file's
	oddGone       = 'g' // listed, and not there when it is opened
	oddUnreadable = 'u' // can't be opened, or listed
	oddBroken     = 'b' // fails in the middle of reading
	oddChanging   = 'c' // is another at each opening
	oddNoFile     = 'n' // is opened as nothing
	oddNoStat     = 's' // does not say what it is
	oddFlips      = 'f' // says of itself that it is a folder every other time
)

// oddFS is a file system that may do anything but panic.
type oddFS struct{ root *oddNode }

type oddNode struct {
	name     string
	kinds    string
	content  string
	children []*oddNode
	opened   int
	asked    int
}

// newOddFS makes a file system of a text.
func newOddFS(text string) oddFS {
	fsys := oddFS{&oddNode{name: ".", kinds: string(oddFolder)}}
	for i, entry := range strings.Split(text, entryEnd) {
		if i > 60 {
			break
		}
		name, rest, _ := strings.Cut(entry, fieldEnd)
		kinds, content, _ := strings.Cut(rest, fieldEnd)
		at := fsys.root
		parts := strings.Split(name, "/")
		for _, part := range parts[:min(len(parts)-1, 5)] {
			at = at.child(part, string(oddFolder))
		}
		n := &oddNode{name: parts[len(parts)-1], kinds: kinds, content: content}
		at.children = append(at.children, n)
	}
	return fsys
}

func (n *oddNode) child(name, kinds string) *oddNode {
	for _, c := range n.children {
		if c.name == name && c.IsDir() {
			return c
		}
	}
	c := &oddNode{name: name, kinds: kinds}
	n.children = append(n.children, c)
	return c
}

func (n *oddNode) is(kind rune) bool { return strings.ContainsRune(n.kinds, kind) }

// An oddNode is its own entry and its own information.
func (n *oddNode) Name() string       { return n.name }
func (n *oddNode) Size() int64        { return int64(len(n.content)) }
func (n *oddNode) ModTime() time.Time { return time.Time{} }
func (n *oddNode) Sys() any           { return nil }

func (n *oddNode) IsDir() bool {
	n.asked++
	return n.is(oddFolder) != (n.is(oddFlips) && n.asked%2 == 0)
}

func (n *oddNode) Mode() fs.FileMode {
	switch {
	case n.is(oddPipe):
		return fs.ModeNamedPipe
	case n.is(oddFolder):
		return fs.ModeDir | 0o700
	}
	return 0o600
}

func (n *oddNode) Type() fs.FileMode {
	if n.is(oddLink) {
		return fs.ModeSymlink
	}
	return n.Mode().Type()
}

func (n *oddNode) Info() (fs.FileInfo, error) {
	if n.is(oddNoStat) {
		return nil, nil
	}
	return n, nil
}

func (fsys oddFS) find(name string) *oddNode {
	n := fsys.root
	if name == "." {
		return n
	}
	for part := range strings.SplitSeq(name, "/") {
		i := slices.IndexFunc(n.children, func(c *oddNode) bool { return c.name == part })
		if i < 0 {
			return nil
		}
		n = n.children[i]
	}
	return n
}

func (fsys oddFS) Open(name string) (fs.File, error) {
	n := fsys.find(name)
	switch {
	case n == nil || n.is(oddGone):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case n.is(oddUnreadable):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	case n.is(oddNoFile):
		return nil, nil
	}
	n.opened++
	content := n.content
	if n.is(oddChanging) {
		content = strings.Repeat(content, n.opened)
	}
	return &oddFile{node: n, Reader: strings.NewReader(content)}, nil
}

func (fsys oddFS) ReadDir(name string) ([]fs.DirEntry, error) {
	n := fsys.find(path.Clean(name))
	if n == nil || n.is(oddUnreadable) || !n.is(oddFolder) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	var all []fs.DirEntry
	for _, c := range n.children {
		all = append(all, c)
	}
	return all, nil
}

type oddFile struct {
	node *oddNode
	*strings.Reader
}

func (f *oddFile) Close() error { return nil }

func (f *oddFile) Stat() (fs.FileInfo, error) {
	if f.node.is(oddNoStat) {
		return nil, nil
	}
	return f.node, nil
}

func (f *oddFile) Read(p []byte) (int, error) {
	if f.node.is(oddBroken) && f.Len() < len(f.node.content)/2 {
		return 0, errors.New("broken")
	}
	return f.Reader.Read(p)
}

// WriteTo would pass by Read.
func (f *oddFile) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{f})
}

// FuzzRead reads file trees of every kind in every format, and does with the set what a command
// would do. Nothing panics, and every error says something.
func FuzzRead(f *testing.F) {
	tree := func(entries ...string) string { return strings.Join(entries, entryEnd) }
	file := func(name, content string) string { return name + fieldEnd + fieldEnd + content }
	odd := func(name, kinds, content string) string { return name + fieldEnd + kinds + fieldEnd + content }
	formats := append(source.Formats(), source.Auto)
	for i, text := range []string{
		tree(file("1_a.up.sql", "SELECT 1"), file("1_a.down.sql", "SELECT 2"), odd("2024", "d", ""), file("docs/1.md", ""), file("2024-01-31/x", "")),
		tree(file("0001_a.up.sql", "-- whimbrel: no-transaction\nSELECT 1"), file("B1_x.sql", "SELECT 1"), file("R__v.sql", "SELECT 2"), file("1_a.metadata.yaml", "tables: {}")),
		tree(file("1_a.up.sql", "-- whimbrel: replaces 1 "+migration.Sum("SELECT 1").String()+"\nSELECT 3"), file("1_b.up.sql", "SELECT 1"), file("2_c.up.sql", "SELECT 1")),
		tree(file("1_a.backfill.sql", "-- whimbrel: backfill t\n-- whimbrel: key a, b\n-- whimbrel: check SELECT 0\n-- whimbrel: sync\nUPDATE t SET c = ':first' WHERE (a, b) BETWEEN (:first) AND (:last)"), file("1_a.down.sql", "SELECT 1"), file("2_b.up.sql", "-- whimbrel: after 1\nSELECT 1"), file("3_c.backfill.sql", "-- whimbrel: batch x\n")),
		tree(file("1_a.sql", "-- +goose Up\nSELECT 1;\n-- +goose StatementBegin\n-- +goose StatementEnd\n-- +goose Down\n-- +goose ENVSUB ON\nSELECT '${X:-y}'"), file("2_b.go", "")),
		tree(file("1_a.sql", "-- migrate:up transaction:false\nSELECT 1;\n-- migrate:down\nSELECT 2"), file("10_b.sql", "-- migrate:up\n")),
		tree(file("001_a.sql", "SELECT 1;\n---- create above / drop below ----\n---- tern: disable-tx ----\nSELECT {{.x}}"), file("tern.conf", "")),
		tree(file("default/1_a/up.sql", "SELECT 1"), file("1_a/up.sql", "-- hasura:no-transaction"), file("1_a/down.sql", ""), file("1_a/metadata.toml", "run_in_transaction = false"), file("2_b/up.yaml", "run_sql")),
		tree(file("10-a.sql", "-- +migrate Up notransaction\nSELECT 1;\n-- +migrate Down\nSELECT 2"), file("9.sql", "-- +migrate up\n-- +migrate StatementBegin\n-- +migrate StatementEnd"), file("x.sql", "")),
		tree(file("V1.2__a.sql", "SELECT '${x}'"), file("V1.2__a.sql.conf", "executeInTransaction=false"), file("U1_2__a.sql", "${"), file("s/V3__b.sql", ""), file("R__c.sql", "${X}"), file("B1__d.sql", "SELECT 1"), file("V4__e.java", ""), file("afterMigrate.sql", ""), file("V5.\xc1", ""), file("B00.1000.", ""), file("s/V6__\xc1.sql", "")),
		tree(file("V1__a.sql", "SELECT 1"), odd("s", "dl", ""), odd("s/V2__b.sql", "l", "x"), file("s/t/u/v/w/V3__c.sql", "SELECT 1"), odd("V4__d.sql", "g", ""), odd("V1__a.sql.conf", "b", "encoding=x"), file("V9223372036854775808__x.sql", "")),
		tree(file("1_a.sql", "-- no-transaction\nSELECT 1"), file("2_b.up.sql", "SELECT 1"), file("2_c.down.sql", "-- Add down migration script here"), file("x_y.sql", "")),
		tree(file("2024-01-31-093000_a/up.sql", "SELECT 1"), file("2024-01-31-093000_a/metadata.toml", "run_in_transaction = false"), file("00000000000000_s/up.sql", ""), file("00000000000000_s/down.sql", ""), file("1-x/up.sql", "")),
		tree(file("0_init/migration.sql", "SELECT 1"), file("20240131_a/migration.sql", "-- x"), file("20240131_a/down.sql", ""), file("migration_lock.toml", "provider = \"postgresql\""), odd("3_b/migration.sql", "d", ""), file("x/migration.sql", "")),
		tree(odd("1_a.up.sql", "l", "SELECT 1"), odd("2_b.up.sql", "p", ""), odd("3_c.up.sql", "g", ""), odd("4_d.up.sql", "u", ""), odd("5_e.up.sql", "b", "SELECT 1;SELECT 2"), odd("6_f.up.sql", "n", ""), odd("7_g.up.sql", "s", "")),
		tree(odd("1_a.up.sql", "c", "SELECT 1;"), odd("8_h", "du", ""), odd("9_i.up.sql", "fd", ""), odd("", "d", ""), odd("..", "", ""), odd("1_a.up.sql", "", "SELECT 1"), odd("R__.sql", "l", "")),
		tree(file("1_caf\xe9.up.sql", ""), file("1_é.up.sql", ""), file("1_é.down.sql", ""), file("99999999999999999999_a.up.sql", ""), file("9223372036854775807.up.sql", "SELECT 1")),
		tree(file("2018-01-14-171611_a/up.sql", ""), file("2024-03-13_170000_c/up.sql", "SELECT 1"), file("20240313_x/up.sql", "")),
		tree(file("1_a.sql", "-- atlas:sum ignore\n-- atlas:txmode none\n\nSELECT 1"), file("2_b.sql", "-- atlas:delimiter //\nSELECT 1 // SELECT (2 // 3)"), file("atlas.sum", "h1:5+f4zkb1Hx/fq6sIEYFRaZw7otq3BcdSv4pMKfkPVM8=\n2_b.sql h1:ER5bbVFsI6WaHMZviPhpHw+wp+SHXFAtGAWERdeBenA=\n")),
		tree(file("meta/_journal.json", "{\"entries\":[{\"idx\":0,\"when\":1,\"tag\":\"0000_a\"}]}"), file("0000_a.sql", "SELECT 1\n--> statement-breakpoint\nSELECT 2"), file("0001_b.sql", "")),
		tree(file("1_a.sql", "--liquibase formatted sql\n--changeset a:1 dbms:postgresql runInTransaction:false\nSELECT 1;\n--rollback SELECT 2\n--changeset a:2 runOnChange:true\nSELECT 3;\n/* liquibase rollback\nx\n*/\n--changeset b:3\nSELECT 4;\n--rollback changesetId:1 changesetAuthor:a"), file("x.yaml", "databaseChangeLog: [include: {file: 1_a.sql}]")),
		tree(file("20240101000000_a/migration.sql", "SELECT 1--> statement-breakpoint"), file("20240101000000_a/snapshot.json", "{}")),
		tree(file("sqitch.conf", "[core]\n\ttop_dir = .\n[engine \"pg\"]\n\textension = sql"), file("sqitch.plan", "%syntax-version=1.0.0\n%project=p\n\na 2024-01-02T03:04:05Z X <x@y>\n@v1 2024-01-02T03:04:05Z X <x@y>\na [a@v1 !b] 2024-01-02T03:04:05Z X <x@y> # again\n"), file("deploy/a@v1.sql", "SELECT 1"), file("deploy/a.sql", "BEGIN;SELECT 1;COMMIT;"), file("revert/a.sql", "SELECT 1"), file("verify/a.sql", "SELECT 1")),
		tree(file("1_a.up.sql", "\xff"), file("2_a.up.sql", "\x00"), file("3_a.up.sql", "\xef\xbb\xbf/* whimbrel: empty */"), file("4_.up.sql", "-- whimbrel empty"), file("5.up.sql", "/*! x */")),
	} {
		f.Add(text, byte(i))
		f.Add(text, byte(len(formats)-1)) // detected
	}
	f.Fuzz(func(t *testing.T, text string, which byte) {
		if len(text) > 4<<10 {
			t.Skip()
		}
		format := formats[int(which)%len(formats)]
		dialect := sqltext.Dialect(int(which) / len(formats) % 4)
		opts := source.Options{Format: format, Dir: "m", Dialect: dialect, Expand: func(string) (string, bool) { return "x", true }, Placeholders: map[string]string{"x": "y"}}
		set, err := source.Read(newOddFS(text), opts)
		wantWords(t, err)
		if err == nil {
			useSet(t, set)
		}
		seeds, err := source.ReadSeeds(newOddFS(text), opts)
		wantWords(t, err)
		for _, s := range seeds {
			useScript(s.Script)
		}
		_, err = source.Detect(newOddFS(text))
		wantWords(t, err)
		made, err := source.NewFiles(newOddFS(text), source.NewOptions{Name: "x", Format: format})
		wantWords(t, err)
		for _, f := range made {
			if _, err := f.Version(); err != nil {
				t.Fatalf("%s has no version: %v", f.Name, err)
			}
		}
		_, err = source.Squash(newOddFS(text), source.SquashOptions{From: 1, To: 2, Name: "x", Format: format, Dialect: sqltext.PostgreSQL})
		wantWords(t, err)
	})
}

// wantWords looks whether an error says something, and a folder's problems are in order.
func wantWords(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if strings.TrimSpace(err.Error()) == "" {
		t.Fatalf("an error without words: %#v", err)
	}
	var all *source.FolderError
	if !errors.As(err, &all) {
		return
	}
	if len(all.Problems) == 0 {
		t.Fatal("len(all.Problems) is 0")
	}
	if !slices.IsSortedFunc(all.Problems, func(a, b *source.Error) int { return strings.Compare(a.File, b.File) }) {
		t.Fatal("slices.IsSortedFunc(all.Problems, func(a, b *source.Error) int { return strings.Compare(a.File, b.File) }) = false, want true")
	}
}

// useSet does with a set what planning does.
func useSet(t *testing.T, set *migration.Set) {
	t.Helper()
	var last int64 = -1
	for _, m := range set.All() {
		if m.Version <= last {
			t.Fatalf("m.Version = %v, want more than %v", m.Version, last)
		}
		if m.Up == nil {
			t.Fatal("m.Up is nil")
		}
		last = m.Version
		useScript(m.Up)
		useScript(m.Down)
		useScript(m.Metadata)
	}
	for _, m := range set.Baselines() {
		useScript(m.Up)
	}
	for _, r := range set.Repeatables() {
		useScript(r.Script)
	}
}

func useScript(s *migration.Script) {
	if s == nil {
		return
	}
	_, _, _ = s.Text(1 << 20)
	for _, d := range []sqltext.Dialect{sqltext.PostgreSQL, sqltext.SQLite, sqltext.MySQL} {
		if a, err := s.Analyze(d, []string{"whimbrel_history"}); err == nil {
			for range a.Body() {
			}
		}
	}
}
