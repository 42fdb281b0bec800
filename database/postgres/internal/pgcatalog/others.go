package pgcatalog

import (
	"fmt"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

const (
	pgAm             oid = 2601
	pgConversion     oid = 2607
	pgStatisticExt   oid = 3381
	pgCollation      oid = 3456
	pgEventTrigger   oid = 3466
	pgTsDict         oid = 3600
	pgTsParser       oid = 3601
	pgTsConfig       oid = 3602
	pgTsTemplate     oid = 3764
	pgPublication    oid = 6104
	pgPublicationRel oid = 6106
)

func (r *Reader) askCollations() {
	locale, rules := "NULL", "NULL"
	switch {
	case r.opts.Major >= 17:
		locale = "l.colllocale"
	case r.opts.Major >= 15:
		locale = "l.colliculocale"
	default:
		locale = "CASE WHEN l.collprovider = 'i' THEN l.collcollate END"
	}
	if r.opts.Major >= 16 {
		rules = "l.collicurules"
	}
	r.ask(`SELECT l.oid, l.collnamespace, l.collname, CASE l.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' WHEN 'd' THEN 'default' ELSE 'libc' END,
	l.collcollate, l.collctype, `+locale+`, l.collisdeterministic, `+rules+`
FROM pg_collation l WHERE l.collnamespace IN {schemas} AND {none pg_collation l.oid}`, func(a *row) {
		id, schema, name, provider, collate, ctype, locale := a.oid(), r.schemas[a.oid()], a.text(), a.text(), a.text(), a.text(), a.text()
		var s settings
		s.add("PROVIDER", provider)
		switch {
		case locale != "":
			s.add("LOCALE", literal(locale))
		case collate == ctype:
			s.add("LOCALE", literal(collate))
		default:
			s.add("LC_COLLATE", literal(collate))
			s.add("LC_CTYPE", literal(ctype))
		}
		if !a.bool() {
			s.add("DETERMINISTIC", "false")
		}
		if rules := a.text(); rules != "" {
			s.add("RULES", literal(rules))
		}
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Collation, Schema: schema, Name: name, Attrs: s.attrs()}
			o.SQL = []string{"CREATE COLLATION " + r.qualified(schema, name) + " (" + s.list() + ")"}
			b.add(obj{pgCollation, id}, o, "COLLATION "+r.qualified(schema, name))
		})
	})
}

func (r *Reader) askStatistics() {
	r.ask(`SELECT s.oid, s.stxnamespace, s.stxname, s.stxrelid, pg_get_statisticsobjdef(s.oid), coalesce(s.stxstattarget, -1)
FROM pg_statistic_ext s WHERE s.stxnamespace IN {schemas} AND {none pg_statistic_ext s.oid}`, func(a *row) {
		id, schema, name, rel, definition, target := a.oid(), r.schemas[a.oid()], a.text(), r.relations[a.oid()], a.text(), a.number()
		if rel == nil {
			return
		}
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Statistics, Schema: schema, Name: name}
			o.Set("definition", definition)
			o.SQL = []string{definition}
			if target >= 0 {
				o.Set("target", fmt.Sprint(target))
				o.SQL = append(o.SQL, fmt.Sprint("ALTER STATISTICS ", r.qualified(schema, name), " SET STATISTICS ", target))
			}
			b.add(obj{pgStatisticExt, id}, o, "STATISTICS "+r.qualified(schema, name))
		})
	})
}

// askEventTriggers asks for what reacts to DDL: it is made last.
func (r *Reader) askEventTriggers() {
	if !r.wholeDatabase() {
		return
	}
	r.ask(`SELECT e.oid, e.evtname, e.evtevent, e.evtenabled, array_to_json(e.evttags), e.evtfoid::regproc
FROM pg_event_trigger e WHERE {none pg_event_trigger e.oid}`, func(a *row) {
		id, name, event, state, tags, function := a.oid(), a.text(), a.text(), a.char(), a.list(), a.text()
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.EventTrigger, Name: name}
			o.Set("on", event)
			sql := "CREATE EVENT TRIGGER " + r.quote(name) + " ON " + event
			for i, tag := range tags {
				tags[i] = literal(strings.Trim(tag, "'"))
			}
			if list := strings.Join(tags, ", "); list != "" {
				o.Set("tags", list)
				sql += "\n    WHEN TAG IN (" + list + ")"
			}
			o.Set("function", function)
			o.Late = []string{sql + "\n    EXECUTE FUNCTION " + function + "()"}
			verb, word := enabled(state)
			if o.Set("enabled", word); word != "" {
				o.Late = append(o.Late, "ALTER EVENT TRIGGER "+r.quote(name)+" "+verb)
			}
			b.add(obj{pgEventTrigger, id}, o, "EVENT TRIGGER "+r.quote(name))
			o.Late, o.SQL = append(o.Late, o.SQL...), nil
		})
	})
}

// simple asks for objects that are made by one statement of settings: oid, schema, name, and the settings
// as they are written. schema is 0 for objects in no schema.
func (r *Reader) simple(class oid, kind catalog.Kind, sql string) {
	word := strings.ToUpper(string(kind))
	r.ask(sql, func(a *row) {
		id, schema, name := a.oid(), r.schemas[a.oid()], a.text()
		var s settings
		for _, setting := range a.list() {
			if attr, value, ok := strings.Cut(setting, " = "); ok {
				s.add(attr, value)
			}
		}
		r.build(func(b *builder) {
			full := r.qualified(schema, name)
			o := &catalog.Object{Kind: kind, Schema: schema, Name: name, Attrs: s.attrs()}
			o.SQL = []string{"CREATE " + word + " " + full + " (" + s.list() + ")"}
			b.add(obj{class, id}, o, word+" "+full)
		})
	})
}

func (r *Reader) askTextSearch() {
	r.simple(pgTsParser, catalog.TextSearchParser, `SELECT p.oid, p.prsnamespace, p.prsname, json_build_array('START = ' || p.prsstart, 'GETTOKEN = ' || p.prstoken, 'END = ' || p.prsend,
	'LEXTYPES = ' || p.prslextype, CASE WHEN p.prsheadline <> 0 THEN 'HEADLINE = ' || p.prsheadline END) FROM pg_ts_parser p WHERE p.prsnamespace IN {schemas} AND {none pg_ts_parser p.oid}`)
	r.simple(pgTsTemplate, catalog.TextSearchTemplate, `SELECT p.oid, p.tmplnamespace, p.tmplname, json_build_array(CASE WHEN p.tmplinit <> 0 THEN 'INIT = ' || p.tmplinit END,
	'LEXIZE = ' || p.tmpllexize) FROM pg_ts_template p WHERE p.tmplnamespace IN {schemas} AND {none pg_ts_template p.oid}`)
	const named = `(SELECT quote_ident(n.nspname) || '.' || quote_ident(x.%[2]sname) FROM %[1]s x JOIN pg_namespace n ON n.oid = x.%[2]snamespace WHERE x.oid = %[3]s)`
	r.ask(`SELECT d.oid, d.dictnamespace, d.dictname, `+fmt.Sprintf(named, "pg_ts_template", "tmpl", "d.dicttemplate")+`, d.dictinitoption
FROM pg_ts_dict d WHERE d.dictnamespace IN {schemas} AND {none pg_ts_dict d.oid}`, func(a *row) {
		id, schema, name, template, options := a.oid(), r.schemas[a.oid()], a.text(), a.text(), a.text()
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.TextSearchDict, Schema: schema, Name: name}
			o.Set("template", template)
			o.Set("options", options)
			if options != "" {
				options = ", " + options
			}
			o.SQL = []string{"CREATE TEXT SEARCH DICTIONARY " + r.qualified(schema, name) + " (TEMPLATE = " + template + options + ")"}
			b.add(obj{pgTsDict, id}, o, "TEXT SEARCH DICTIONARY "+r.qualified(schema, name))
		})
	})
	mappings := map[oid][]clause{}
	r.ask(`SELECT c.oid, c.cfgnamespace, c.cfgname, `+fmt.Sprintf(named, "pg_ts_parser", "prs", "c.cfgparser")+`
FROM pg_ts_config c WHERE c.cfgnamespace IN {schemas} AND {none pg_ts_config c.oid}`, func(a *row) {
		id, schema, name, parser := a.oid(), r.schemas[a.oid()], a.text(), a.text()
		full := r.qualified(schema, name)
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.TextSearchConfig, Schema: schema, Name: name}
			o.Set("parser", parser)
			o.SQL = []string{"CREATE TEXT SEARCH CONFIGURATION " + full + " (PARSER = " + parser + ")"}
			for _, m := range mappings[id] {
				o.Set("mapping for "+m.name, m.value)
				o.SQL = append(o.SQL, "ALTER TEXT SEARCH CONFIGURATION "+full+" ADD MAPPING FOR "+r.quote(m.name)+" WITH "+m.value)
			}
			b.add(obj{pgTsConfig, id}, o, "TEXT SEARCH CONFIGURATION "+full)
		})
	})
	r.ask(`SELECT c.oid, t.alias, string_agg(`+fmt.Sprintf(named, "pg_ts_dict", "dict", "m.mapdict")+`, ', ' ORDER BY m.mapseqno)
FROM pg_ts_config c JOIN pg_ts_config_map m ON m.mapcfg = c.oid JOIN LATERAL ts_token_type(c.cfgparser) t ON t.tokid = m.maptokentype
WHERE c.cfgnamespace IN {schemas} GROUP BY 1, 2 ORDER BY 1, 2`, func(a *row) {
		id := a.oid()
		mappings[id] = append(mappings[id], clause{name: a.text(), value: a.text()})
	})
}

func (r *Reader) askMethods() {
	r.ask(`SELECT v.oid, v.connamespace, v.conname, v.condefault, pg_encoding_to_char(v.conforencoding), pg_encoding_to_char(v.contoencoding), v.conproc::regproc
FROM pg_conversion v WHERE v.connamespace IN {schemas} AND {none pg_conversion v.oid}`, func(a *row) {
		id, schema, name, isDefault := a.oid(), r.schemas[a.oid()], a.text(), a.bool()
		definition := "FOR " + literal(a.text()) + " TO " + literal(a.text()) + " FROM " + a.text()
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Conversion, Schema: schema, Name: name}
			o.Set("definition", definition)
			word := "CONVERSION "
			sql := "CREATE "
			if isDefault {
				o.Set("default", "yes")
				sql += "DEFAULT "
			}
			o.SQL = []string{sql + word + r.qualified(schema, name) + " " + definition}
			b.add(obj{pgConversion, id}, o, word+r.qualified(schema, name))
		})
	})
	if !r.wholeDatabase() {
		return
	}
	r.ask(`SELECT m.oid, m.amname, CASE m.amtype WHEN 't' THEN 'TABLE' ELSE 'INDEX' END, m.amhandler::regproc FROM pg_am m WHERE m.oid >= `+firstNormal+` AND {none pg_am m.oid}`, func(a *row) {
		id, name, definition := a.oid(), a.text(), "TYPE "+a.text()+" HANDLER "+a.text()
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.AccessMethod, Name: name}
			o.Set("definition", definition)
			o.SQL = []string{"CREATE ACCESS METHOD " + r.quote(name) + " " + definition}
			b.add(obj{pgAm, id}, o, "ACCESS METHOD "+r.quote(name))
		})
	})
}

// publication is a row of pg_publication.
type publication struct {
	name             string
	allTables        bool
	publish          []string
	viaRoot          bool
	generated        bool
	tables, inSchema []string
}

func (r *Reader) askPublications() {
	if !r.wholeDatabase() {
		return
	}
	publications := map[oid]*publication{}
	generated := "false"
	if r.opts.Major >= 18 {
		generated = "p.pubgencols = 's'"
	}
	r.ask(`SELECT p.oid, p.pubname, p.puballtables, p.pubviaroot, `+generated+`,
	array_to_json(array_remove(ARRAY[CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END, CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END], NULL))
FROM pg_publication p WHERE {none pg_publication p.oid}`, func(a *row) {
		id := a.oid()
		p := &publication{name: a.text(), allTables: a.bool(), viaRoot: a.bool(), generated: a.bool(), publish: a.list()}
		publications[id] = p
		r.build(func(b *builder) { b.publication(id, p) })
	})
	details := "NULL, NULL"
	if r.opts.Major >= 15 {
		details = `(SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = t.prrelid AND a.attnum = ANY (t.prattrs)), pg_get_expr(t.prqual, t.prrelid)`
		r.ask(`SELECT s.pnpubid, n.nspname FROM pg_publication_namespace s JOIN pg_namespace n ON n.oid = s.pnnspid ORDER BY n.nspname`, func(a *row) {
			if p := publications[a.oid()]; p != nil {
				p.inSchema = append(p.inSchema, a.text())
			}
		})
	}
	r.ask(`SELECT t.oid, t.prpubid, t.prrelid, `+details+` FROM pg_publication_rel t JOIN pg_class c ON c.oid = t.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY n.nspname, c.relname`, func(a *row) {
		id, pub, rel, columns, where := a.oid(), a.oid(), r.relations[a.oid()], a.text(), a.text()
		p := publications[pub]
		if p == nil || rel == nil {
			return
		}
		table := r.qualified(rel.schema, rel.name)
		if columns != "" {
			table += " (" + columns + ")"
		}
		if where != "" {
			table += " WHERE " + where
		}
		p.tables = append(p.tables, table)
		r.build(func(b *builder) { b.at[obj{pgPublicationRel, id}] = b.at[obj{pgPublication, pub}] })
	})
}

func (b *builder) publication(id oid, p *publication) {
	o := &catalog.Object{Kind: catalog.Publication, Name: p.name}
	name := "PUBLICATION " + b.r.quote(p.name)
	sql := "CREATE " + name
	if p.allTables {
		o.Set("for", "all tables")
		sql += " FOR ALL TABLES"
	}
	with := "publish = " + literal(strings.Join(p.publish, ", "))
	o.Set("publish", strings.Join(p.publish, ", "))
	if p.viaRoot {
		o.Set("publish via partition root", "yes")
		with += ", publish_via_partition_root = true"
	}
	if p.generated {
		o.Set("publish generated columns", "stored")
		with += ", publish_generated_columns = stored"
	}
	o.SQL = []string{sql + " WITH (" + with + ")"}
	for _, t := range p.tables {
		o.SQL = append(o.SQL, "ALTER "+name+" ADD TABLE ONLY "+t)
	}
	for _, s := range p.inSchema {
		o.SQL = append(o.SQL, "ALTER "+name+" ADD TABLES IN SCHEMA "+b.r.quote(s))
	}
	o.Set("tables", strings.Join(p.tables, ", "))
	o.Set("tables in schemas", b.r.quoteAll(p.inSchema))
	b.add(obj{pgPublication, id}, o, name)
}
