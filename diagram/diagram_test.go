package diagram

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/metadata"
)

// object returns an object with attributes: name, value, name, value, ….
func object(kind catalog.Kind, schema, of, name string, attrs ...string) catalog.Object {
	o := catalog.Object{Kind: kind, Schema: schema, Of: of, Name: name}
	for i := 0; i < len(attrs); i += 2 {
		o.Set(attrs[i], attrs[i+1])
	}
	return o
}

// shop is a small schema as PostgreSQL's snapshots have it.
func shop() *catalog.Snapshot {
	table := func(name string, attrs ...string) catalog.Object {
		return object(catalog.Table, "public", "", name, attrs...)
	}
	column := func(table, name, kind string, attrs ...string) catalog.Object {
		return object(catalog.Column, "public", table, name, append([]string{"type", kind}, attrs...)...)
	}
	constraint := func(table, name, definition string) catalog.Object {
		return object(catalog.Constraint, "public", table, name, "definition", definition)
	}
	return &catalog.Snapshot{Dialect: "PostgreSQL", Objects: []catalog.Object{
		table("customers", "comment", "'it''s the buyers'"),
		column("customers", "id", "bigint", "not null", "yes"),
		column("customers", "email", "character varying(100)", "not null", "yes", "comment", "'the address'"),
		constraint("customers", "customers_pkey", "PRIMARY KEY (id)"),
		constraint("customers", "customers_email_key", "UNIQUE (email)"),
		table("orders"),
		column("orders", "id", "bigint", "not null", "yes"),
		column("orders", "customer", "bigint", "not null", "yes"),
		column("orders", "parent", "bigint"),
		constraint("orders", "orders_pkey", "PRIMARY KEY (id)"),
		table("bills"),
		column("bills", "order_id", "bigint", "not null", "yes"),
		column("bills", "amount", "numeric(12,2)"),
		column("bills", "Odd, name", "text"),
		constraint("bills", "bills_pkey", "PRIMARY KEY (order_id)"),
		object(catalog.Index, "public", "bills", "odd", "definition", `CREATE UNIQUE INDEX odd ON public.bills USING btree (amount, "Odd, name" DESC)`),
		object(catalog.Index, "public", "bills", "some", "definition", `CREATE UNIQUE INDEX some ON public.bills USING btree (amount) WHERE (amount > 0)`),
		object(catalog.Index, "public", "bills", "low", "definition", `CREATE UNIQUE INDEX low ON public.bills USING btree (lower("Odd, name"))`),
		object(catalog.View, "public", "", "few", "definition", "SELECT 1"),
		column("few", "id", "bigint"),
		constraint("orders", "orders_customer_fkey", "FOREIGN KEY (customer) REFERENCES public.customers(id)"),
		constraint("orders", "orders_parent_fkey", "FOREIGN KEY (parent) REFERENCES public.orders(id)"),
		constraint("bills", "bills_order_fkey", "FOREIGN KEY (order_id) REFERENCES public.orders(id) ON DELETE CASCADE"),
	}}
}

func facts(t *testing.T) *metadata.Document {
	doc, err := metadata.NewDocument(
		metadata.Entry{Name: metadata.Name{Kind: metadata.Table, Schema: "public", Object: "customers"}, Facts: metadata.Facts{Owner: "sales", Tags: []string{"pii", "core"}}},
		metadata.Entry{Name: metadata.Name{Kind: metadata.Column, Schema: "public", Object: "customers", Column: "email"}, Facts: metadata.Facts{Description: "where bills go", Tags: []string{"pii"}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestMermaid(t *testing.T) {
	t.Parallel()
	const want = `erDiagram
    t1["bills (unique (amount, Odd, name))"] {
        bigint order_id PK, FK
        numeric(12-2) amount
        text Odd-_name "Odd, name"
    }
    t2["customers (it's the buyers#59; owner sales#59; tags pii, core)"] {
        bigint id PK
        character_varying(100) email UK "where bills go#59; tags pii"
    }
    t3["orders"] {
        bigint id PK
        bigint customer FK
        bigint parent FK
    }
    t3 ||--o| t1 : "order_id"
    t2 ||--o{ t3 : "customer"
    t3 |o--o{ t3 : "parent"
`
	if diff := cmp.Diff(want, New(shop(), facts(t)).Mermaid()); diff != "" {
		t.Errorf("Mermaid (-want +got):\n%s", diff)
	}
	if got, want := New(&catalog.Snapshot{Dialect: "sqlite"}, nil).Mermaid(), "erDiagram\n"; got != want {
		t.Errorf("Mermaid of an empty schema is %q, want %q", got, want)
	}
}

func TestDOT(t *testing.T) {
	t.Parallel()
	got := New(shop(), facts(t)).DOT()
	for _, want := range []string{
		`<tr><td bgcolor="#e2e8f0" colspan="3"><b>customers</b></td></tr>`,
		`<font color="#475569">owner sales</font>`,
		`<tr><td port="c2" align="left">UK</td><td align="left">email (where bills go; tags pii)</td><td align="left">character varying(100)</td></tr>`,
		`t3:c1:e -> t1:c1:w [arrowtail=teetee, arrowhead=teeodot, tooltip="bills (order_id) refers to orders (id)"];`,
		`t3:c1:e -> t3:c3:w [arrowtail=teeodot, arrowhead=crowodot,`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("DOT lacks %s:\n%s", want, got)
		}
	}
}

// TestKeysOfEachDialect: the servers write the same keys differently.
func TestKeysOfEachDialect(t *testing.T) {
	t.Parallel()
	want := []Table{
		{
			Name: "Big T", Label: "Big T",
			Columns: []Column{{Name: "a,`b", Type: "int", NotNull: true, Primary: true}, {Name: "c", Type: "int", Unique: true}},
		},
		{
			Name: "k", Label: "k", Uniques: [][]string{{"a", "b"}},
			Columns: []Column{{Name: "a", Type: "int", Foreign: true, NotNull: true}, {Name: "b", Type: "int", Foreign: true}},
		},
	}
	relations := []Relation{
		{From: 1, To: 0, FromColumns: []string{"a"}, ToColumns: []string{"a,`b"}},
		{From: 1, To: 0, FromColumns: []string{"b"}, ToColumns: []string{"c"}, Optional: true},
	}
	column := func(table, name string, attrs ...string) catalog.Object {
		return object(catalog.Column, "", table, name, append([]string{"type", "int"}, attrs...)...)
	}
	signed := func(table, signature string) catalog.Object {
		return catalog.Object{Kind: catalog.Constraint, Of: table, Signature: signature}
	}
	for dialect, objects := range map[string][]catalog.Object{
		"sqlite": {
			object(catalog.Table, "", "", "Big T"),
			column("Big T", "a,`b", "primary key", "autoincrement", "not null", "yes"), column("Big T", "c", "unique", "yes"),
			object(catalog.Table, "", "", "k"),
			column("k", "a", "not null", "yes", "references", `"Big T" on delete set null, constraint afk`), column("k", "b"),
			signed("k", "foreign key (b) references \"big t\"(C)"),
			signed("k", "foreign key (b) references elsewhere(d)"),
			object(catalog.Index, "", "k", "u", "unique", "yes", "definition", "on k(a, b)"),
		},
		"mysql": {
			object(catalog.Table, "", "", "Big T"),
			column("Big T", "a,`b", "not null", "yes"), column("Big T", "c"),
			object(catalog.Constraint, "", "Big T", "PRIMARY", "definition", "PRIMARY KEY (`a,``b`)"),
			object(catalog.Index, "", "Big T", "u", "unique", "yes", "columns", "`c`"),
			object(catalog.Index, "", "Big T", "prefix", "unique", "yes", "columns", "`a,``b`(10)"),
			object(catalog.Table, "", "", "k"), column("k", "a", "not null", "yes"), column("k", "b"),
			object(catalog.Index, "", "k", "u", "unique", "yes", "columns", "`a`,`b`"),
			object(catalog.Constraint, "", "k", "", "definition", "FOREIGN KEY (`a`) REFERENCES `Big T` (`a,``b`) ON DELETE CASCADE"),
			object(catalog.Constraint, "", "k", "", "definition", "FOREIGN KEY (`b`) REFERENCES `Big T` (`c`)"),
		},
	} {
		d := New(&catalog.Snapshot{Dialect: dialect, Objects: objects}, nil)
		if diff := cmp.Diff(want, d.Tables); diff != "" {
			t.Errorf("%s: tables (-want +got):\n%s", dialect, diff)
		}
		if dialect == "sqlite" {
			d.Relations[1].ToColumns = []string{strings.ToLower(d.Relations[1].ToColumns[0])}
		}
		if diff := cmp.Diff(relations, d.Relations); diff != "" {
			t.Errorf("%s: relations (-want +got):\n%s", dialect, diff)
		}
	}
}

func TestSchemasAndPartitions(t *testing.T) {
	t.Parallel()
	d := New(&catalog.Snapshot{Dialect: "PostgreSQL", Objects: []catalog.Object{
		object(catalog.Table, "s", "", "Log"), object(catalog.Table, "s", "", "log_1", "partition of", `s."Log"`),
		object(catalog.Column, "s", "log_1", "id", "type", "int"), object(catalog.Table, "other", "", "x"),
	}}, nil)
	want := []Table{{Schema: "other", Name: "x", Label: "other.x"}, {Schema: "s", Name: "Log", Label: "s.Log", Partitions: 1}}
	if diff := cmp.Diff(want, d.Tables); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
}

// hostile are names that break out of a format, or reverse the text after them.
var hostile = []string{
	`<script>alert(1)</script>`, `"];x["`, `'"&amp;`, "a\u202eb", "\x00\x1b[31m", "-->", "]]>", "end\n  t9 --> t8", `\N\l`, "%%{init}%%", "漢字",
	"<U+202E>", "#35;", `{`, "\xff",
}

func hostileDiagram() *Diagram {
	d := &Diagram{}
	for i, name := range hostile {
		d.Tables = append(d.Tables, Table{
			Schema: name, Name: name, Label: name, Comment: name, Owner: name, Tags: []string{name}, Uniques: [][]string{{name, name}},
			Columns: []Column{{Name: name, Type: name, Comment: name, Owner: name, Tags: []string{name}, Foreign: true}},
		})
		d.Relations = append(d.Relations, Relation{Name: name, From: i, To: i / 2, FromColumns: []string{name}, ToColumns: []string{hostile[i/2]}})
	}
	return d
}

// TestHostileNamesStayText: whatever a name is, it changes nothing but texts.
func TestHostileNamesStayText(t *testing.T) {
	t.Parallel()
	d := hostileDiagram()
	elements := map[string]int{}
	decoder := xml.NewDecoder(strings.NewReader(d.SVG()))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the SVG is not well-formed: %v", err)
		}
		if e, ok := token.(xml.StartElement); ok {
			elements[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.Contains(a.Value, "script") || strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
					t.Errorf("attribute %s=%q", a.Name.Local, a.Value)
				}
			}
		}
	}
	for name := range elements {
		if !strings.Contains(" svg title desc style rect path g text ", " "+name+" ") {
			t.Errorf("the SVG has an element %s", name)
		}
	}
	line := regexp.MustCompile(`^(erDiagram|    t\d+\["[^"]*"\] \{|        \S+ \S+ FK "[^"]*"|    \}|    t\d+ \S+ t\d+ : "[^"]*")$`)
	for text := range strings.Lines(d.Mermaid()) {
		if !line.MatchString(strings.TrimSuffix(text, "\n")) {
			t.Errorf("Mermaid would not read %q", text)
		}
	}
	for format, text := range map[string]string{"SVG": d.SVG(), "Mermaid": d.Mermaid(), "DOT": d.DOT()} {
		if i := strings.IndexAny(text, "\u202e\x00\x1b\ufffd"); i >= 0 {
			t.Errorf("%s has %q", format, text[max(0, i-20):min(len(text), i+20)])
		}
		if strings.Contains(text, "<script") {
			t.Errorf("%s has an element script", format)
		}
	}
}

// TestSVGIsSelfContained: the picture refers to nothing outside.
func TestSVGIsSelfContained(t *testing.T) {
	t.Parallel()
	for _, d := range []*Diagram{New(shop(), facts(t)), hostileDiagram(), {}} {
		rest := strings.ReplaceAll(d.SVG(), "http://www.w3.org/2000/svg", "")
		for _, outside := range []string{"http:", "https:", "url(", "@import", "<image", "<use", "href="} {
			if strings.Contains(rest, outside) {
				t.Errorf("the SVG has %s", outside)
			}
		}
	}
}

func TestSVGShowsTablesKeysOwnersAndTags(t *testing.T) {
	t.Parallel()
	got := New(shop(), facts(t)).SVG()
	for _, want := range []string{
		`>customers</text>`, `>it&#39;s the buyers</text>`, `>owner sales</text>`, `>#pii #core</text>`, `>unique (amount, Odd, name)</text>`,
		`<text class="wd-key" x="10" y="`, `>PK FK</text>`, `>UK</text>`, `<title>bills (order_id) refers to orders (id)</title>`,
		`<title>email character varying(100) not null; UK; where bills go; tags pii</title>`,
		`<desc>3 tables and 3 foreign keys.`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the SVG lacks %s", want)
		}
	}
	file := filepath.Join("testdata", "shop.svg")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; UPDATE=1 writes it):\n%s", file, diff)
	}
}

// TestManyTables: with many tables, a picture shows only the columns of keys.
func TestManyTables(t *testing.T) {
	t.Parallel()
	for tables, all := range map[int]bool{100: true, 101: false} {
		d := &Diagram{}
		for i := range tables {
			d.Tables = append(d.Tables, Table{Label: fmt.Sprint("t", i), Columns: []Column{{Name: "id", Primary: true}, {Name: "note"}}})
		}
		if got := strings.Contains(d.SVG(), ">note</text>"); got != all {
			t.Errorf("%d tables: other columns shown: %t, want %t", tables, got, all)
		}
		if got := strings.Contains(d.SVG(), ">… 1 more column</text>"); got == all {
			t.Errorf("%d tables: a row counts the columns left out: %t, want %t", tables, got, !all)
		}
	}
}

// TestLayout: whatever the foreign keys are, cycles included, no table covers another one, all are
// in the picture, and edges lead from a layer to a later one.
func TestLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := &Diagram{}
		n := rapid.IntRange(0, 40).Draw(t, "tables")
		for i := range n {
			table := Table{Label: fmt.Sprint("t", i)}
			for c := range rapid.IntRange(0, 12).Draw(t, "columns") {
				table.Columns = append(table.Columns, Column{Name: fmt.Sprint("c", c), Foreign: true})
			}
			d.Tables = append(d.Tables, table)
		}
		for range rapid.IntRange(0, 2*n).Draw(t, "keys") {
			d.Relations = append(d.Relations, Relation{
				From: rapid.IntRange(0, n-1).Draw(t, "from"), To: rapid.IntRange(0, n-1).Draw(t, "to"),
				FromColumns: []string{fmt.Sprint("c", rapid.IntRange(0, 12).Draw(t, "column"))},
			})
		}
		p := d.arrange()
		type rect struct{ x, y, w, h float64 }
		var rects []rect
		edges := 0
		for _, l := range p.layouts {
			edges += len(l.edges)
			for _, e := range l.edges {
				if e.left != e.right && l.boxes[e.left].layer >= l.boxes[e.right].layer {
					t.Fatalf("an edge leads from layer %d to %d", l.boxes[e.left].layer, l.boxes[e.right].layer)
				}
			}
			for _, b := range l.boxes {
				if b.table >= 0 {
					rects = append(rects, rect{l.x + b.x, l.y + b.y, b.w, b.h})
				}
			}
		}
		if len(rects) != n || edges != len(d.Relations) {
			t.Fatalf("%d tables and %d edges, want %d and %d", len(rects), edges, n, len(d.Relations))
		}
		for i, a := range rects {
			if a.x < 0 || a.y < 0 || a.x+a.w > p.w || a.y+a.h > p.h {
				t.Fatalf("%v is outside %g × %g", a, p.w, p.h)
			}
			for _, b := range rects[:i] {
				if a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
					t.Fatalf("%v covers %v", a, b)
				}
			}
		}
		if first, second := d.SVG(), d.SVG(); first != second {
			t.Fatal("two pictures of one diagram differ")
		}
	})
}
