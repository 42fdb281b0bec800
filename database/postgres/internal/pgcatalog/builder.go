package pgcatalog

import (
	"cmp"
	"maps"
	"slices"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// builder builds the objects of a Snapshot.
type builder struct {
	r          *Reader
	objects    []*catalog.Object
	at         map[obj]*catalog.Object // by the catalog row that became the object or a part of it
	split      map[string]bool         // IDs of objects in a dependency cycle
	inheriting map[oid][]*relation     // tables by parent
	goesWith   map[obj][]string        // the extensions that objects depend on without being members
	shells     map[obj]*catalog.Object // declarations of types that functions need before the types exist
}

// dependency is a row of pg_depend.
type dependency struct {
	from, to obj
	kind     byte
}

func (r *Reader) askDependencies() {
	r.ask(`SELECT DISTINCT classid, objid, refclassid, refobjid, deptype FROM pg_depend WHERE objid >= `+firstNormal+` AND refobjid >= `+firstNormal, func(a *row) {
		r.depends = append(r.depends, dependency{obj{a.oid(), a.oid()}, obj{a.oid(), a.oid()}, a.char()})
	})
}

// Snapshot builds the snapshot. If objects depend on each other in a cycle, it moves the parts that
// close the cycle out of their CREATE statements.
func (r *Reader) Snapshot() *catalog.Snapshot {
	split := map[string]bool{}
	for {
		objects := r.objects(split)
		n := len(split)
		circular := catalog.Circular(objects)
		for _, id := range circular {
			split[id] = true
		}
		if len(split) == n {
			return r.snapshot(objects, circular)
		}
	}
}

func (r *Reader) snapshot(objects []catalog.Object, circular []string) *catalog.Snapshot {
	s := catalog.New("PostgreSQL", r.version, objects)
	s.Omitted = r.omits(circular)
	if r.wholeDatabase() && !slices.Contains(slices.Collect(maps.Values(r.schemas)), "public") {
		s.Preamble = append(s.Preamble, "DROP SCHEMA IF EXISTS public") // every new database has it
	}
	for i := range s.Objects {
		switch s.Objects[i].Kind {
		case catalog.Function, catalog.Procedure:
			s.Preamble = append(s.Preamble, "SET check_function_bodies = false")
			return s
		}
	}
	return s
}

func (r *Reader) objects(split map[string]bool) []catalog.Object {
	b := &builder{r: r, at: map[obj]*catalog.Object{}, split: split, shells: map[obj]*catalog.Object{}, goesWith: map[obj][]string{}}
	for _, d := range r.depends {
		if d.kind == 'x' {
			b.goesWith[d.from] = append(b.goesWith[d.from], r.extensions[d.to.oid])
			slices.Sort(b.goesWith[d.from])
		}
	}
	for _, f := range r.builders {
		f(b)
	}
	b.needs()
	objects := make([]catalog.Object, 0, len(b.objects))
	for _, o := range b.objects {
		objects = append(objects, *o)
	}
	return r.withoutOwnSchema(objects)
}

// add adds an object with its comment and privileges. name is the one in GRANT and COMMENT, with
// the kind of object.
func (b *builder) add(key obj, o *catalog.Object, name string) *catalog.Object {
	return b.addSub(sub{key, 0}, o, name)
}

func (b *builder) addSub(key sub, o *catalog.Object, name string) *catalog.Object {
	b.comment(o, key, "comment", name)
	for _, ext := range b.goesWith[key.obj] {
		if key.column == 0 {
			o.Set("depends on extension", ext)
			o.SQL = append(o.SQL, "ALTER "+name+" DEPENDS ON EXTENSION "+b.r.quote(ext))
		}
	}
	b.grants(key, o, name)
	b.objects = append(b.objects, o)
	if key.column == 0 {
		b.at[key.obj] = o
	}
	return o
}

// comment adds the comment on an object, or on a part of it, as an attribute.
func (b *builder) comment(o *catalog.Object, key sub, attr, name string) {
	comment, ok := b.r.comments[key]
	if !ok || b.r.standardComment(key, comment) {
		return
	}
	value := "NULL"
	if comment != "" {
		value = Literal(comment)
	}
	o.Set(attr, value)
	o.SQL = append(o.SQL, "COMMENT ON "+name+" IS "+value)
}

// standardComment reports whether a comment is the one on schema public in every new database.
func (r *Reader) standardComment(key sub, comment string) bool {
	return key.class == pgNamespace && r.schemas[key.oid] == "public" && comment == "standard public schema"
}

// needs derives the objects' needs from pg_depend.
func (b *builder) needs() {
	members := map[obj]*catalog.Object{} // of extensions
	for _, d := range b.r.depends {
		if d.kind == 'e' {
			members[d.from] = b.at[d.to]
		}
	}
	b.declarations()
	for _, d := range b.r.depends {
		from, to := b.at[d.from], cmp.Or(b.at[d.to], members[d.to])
		if d.kind == shellNeeded {
			to = b.shells[d.to]
		}
		if from == nil || to == nil || from == to || d.kind == 'e' || b.backwards(d) || to.Kind == catalog.Schema {
			continue
		}
		if id := to.ID(); id != from.ID() && !slices.Contains(from.Needs, id) {
			from.Needs = append(from.Needs, id)
		}
	}
	b.references()
	for _, o := range b.objects {
		slices.Sort(o.Needs)
		o.Needs = slices.Compact(o.Needs)
	}
}

// references orders foreign keys to partitioned tables after the attachment of all partitions'
// indexes to the referenced key, which is not valid before.
func (b *builder) references() {
	children := map[oid][]*index{}
	for _, x := range b.r.indexes {
		if x.parent != 0 {
			children[x.parent] = append(children[x.parent], x)
		}
	}
	for _, rel := range b.r.relations {
		for _, k := range rel.constraints {
			if o := b.at[obj{pgConstraint, k.oid}]; o != nil && k.kind == 'f' {
				b.needsAll(o, children, k.index)
			}
		}
	}
}

func (b *builder) needsAll(o *catalog.Object, children map[oid][]*index, parent oid) {
	for _, x := range children[parent] {
		if child := b.at[obj{pgClass, x.oid}]; child != nil {
			o.Needs = append(o.Needs, child.ID())
		}
		b.needsAll(o, children, x.oid)
	}
}

// backwards reports whether a dependency is that of a sequence on the column that owns it. The
// table is created after the sequence, and becomes its owner later.
func (b *builder) backwards(d dependency) bool {
	if d.from.class != pgClass || d.kind != 'a' && d.kind != 'i' {
		return false
	}
	rel := b.r.relations[d.from.oid]
	return rel != nil && rel.kind == 'S'
}

// withoutOwnSchema omits the schema of Whimbrel's own tables, if it contains nothing else.
func (r *Reader) withoutOwnSchema(objects []catalog.Object) []catalog.Object {
	if !r.opts.OwnSchemaToo || len(r.own) == 0 || r.opts.OwnSchema == "public" {
		return objects
	}
	for _, o := range objects {
		if o.Schema == r.opts.OwnSchema || o.Kind == catalog.Extension && o.Attr("schema") == r.opts.OwnSchema {
			return objects
		}
	}
	return slices.DeleteFunc(objects, func(o catalog.Object) bool {
		return o.Kind == catalog.Schema && o.Name == r.opts.OwnSchema
	})
}
