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
	r.defineSettings(pgCollation, catalog.Collation, settings.inParens, `SELECT l.oid, l.collnamespace, l.collname, json_build_array(
	'PROVIDER = ' || CASE l.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' WHEN 'd' THEN 'default' ELSE 'libc' END,
	'LOCALE = ' || quote_literal(coalesce(`+locale+`, CASE WHEN l.collcollate = l.collctype THEN l.collcollate END)),
	CASE WHEN `+locale+` IS NULL AND l.collcollate <> l.collctype THEN 'LC_COLLATE = ' || quote_literal(l.collcollate) END,
	CASE WHEN `+locale+` IS NULL AND l.collcollate <> l.collctype THEN 'LC_CTYPE = ' || quote_literal(l.collctype) END,
	CASE WHEN NOT l.collisdeterministic THEN 'DETERMINISTIC = false' END, 'RULES = ' || quote_literal(`+rules+`))
FROM pg_collation l WHERE l.collnamespace IN {schemas} AND {none pg_collation l.oid}`)
}

func (r *Reader) askStatistics() {
	r.ask(`SELECT s.oid, s.stxnamespace, s.stxname, s.stxrelid, pg_get_statisticsobjdef(s.oid), coalesce(s.stxstattarget, -1)
FROM pg_statistic_ext s WHERE s.stxnamespace IN {schemas} AND {none pg_statistic_ext s.oid}`, func(a *row) {
		id := a.oid()
		o := catalog.Object{Kind: catalog.Statistics, Schema: r.schemas[a.oid()], Name: a.text()}
		rel, definition, target := r.relations[a.oid()], a.text(), a.number()
		if rel == nil {
			return
		}
		name := "STATISTICS " + r.qualified(o.Schema, o.Name)
		o.Set("definition", definition)
		o.SQL = []string{definition}
		if target >= 0 {
			o.Set("target", fmt.Sprint(target))
			o.SQL = append(o.SQL, fmt.Sprint("ALTER ", name, " SET STATISTICS ", target))
		}
		r.define(obj{pgStatisticExt, id}, o, name)
	})
}

// askEventTriggers queries event triggers. They are created last, since they react to DDL.
func (r *Reader) askEventTriggers() {
	if !r.wholeDatabase() {
		return
	}
	r.ask(`SELECT e.oid, e.evtname, e.evtevent, e.evtenabled, array_to_json(e.evttags), e.evtfoid::regproc
FROM pg_event_trigger e WHERE {none pg_event_trigger e.oid}`, func(a *row) {
		id, name, event, state, tags, function := a.oid(), a.text(), a.text(), a.char(), a.list(), a.text()
		for i, tag := range tags {
			tags[i] = Literal(strings.Trim(tag, "'"))
		}
		list, full := strings.Join(tags, ", "), "EVENT TRIGGER "+r.quote(name)
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.EventTrigger, Name: name}
			c := creation{Object: o, sql: "CREATE " + full}
			c.add("on", event, " ON "+event)
			c.add("tags", list, "\n    WHEN TAG IN ("+list+")")
			c.add("function", function, "\n    EXECUTE FUNCTION "+function+"()")
			o.SQL = []string{c.sql}
			setEnabled(o, state, "ALTER "+full+" ", "")
			b.add(obj{pgEventTrigger, id}, o, full)
			o.Late, o.SQL = o.SQL, nil
		})
	})
}

func (r *Reader) askTextSearch() {
	r.defineSettings(pgTsParser, catalog.TextSearchParser, settings.inParens, `SELECT p.oid, p.prsnamespace, p.prsname, json_build_array('START = ' || p.prsstart, 'GETTOKEN = ' || p.prstoken, 'END = ' || p.prsend,
	'LEXTYPES = ' || p.prslextype, CASE WHEN p.prsheadline <> 0 THEN 'HEADLINE = ' || p.prsheadline END) FROM pg_ts_parser p WHERE p.prsnamespace IN {schemas} AND {none pg_ts_parser p.oid}`)
	r.defineSettings(pgTsTemplate, catalog.TextSearchTemplate, settings.inParens, `SELECT p.oid, p.tmplnamespace, p.tmplname, json_build_array(CASE WHEN p.tmplinit <> 0 THEN 'INIT = ' || p.tmplinit END,
	'LEXIZE = ' || p.tmpllexize) FROM pg_ts_template p WHERE p.tmplnamespace IN {schemas} AND {none pg_ts_template p.oid}`)
	const named = `(SELECT quote_ident(n.nspname) || '.' || quote_ident(x.%[2]sname) FROM %[1]s x JOIN pg_namespace n ON n.oid = x.%[2]snamespace WHERE x.oid = %[3]s)`
	r.ask(`SELECT d.oid, d.dictnamespace, d.dictname, `+fmt.Sprintf(named, "pg_ts_template", "tmpl", "d.dicttemplate")+`, d.dictinitoption
FROM pg_ts_dict d WHERE d.dictnamespace IN {schemas} AND {none pg_ts_dict d.oid}`, func(a *row) {
		id := a.oid()
		o := catalog.Object{Kind: catalog.TextSearchDict, Schema: r.schemas[a.oid()], Name: a.text()}
		name, template, options := "TEXT SEARCH DICTIONARY "+r.qualified(o.Schema, o.Name), a.text(), a.text()
		c := creation{Object: &o, sql: "CREATE " + name}
		c.add("template", template, " (TEMPLATE = "+template)
		c.add("options", options, ", "+options)
		o.SQL = []string{c.sql + ")"}
		r.define(obj{pgTsDict, id}, o, name)
	})
	mappings := map[oid][]catalog.Attr{}
	r.ask(`SELECT c.oid, c.cfgnamespace, c.cfgname, `+fmt.Sprintf(named, "pg_ts_parser", "prs", "c.cfgparser")+`
FROM pg_ts_config c WHERE c.cfgnamespace IN {schemas} AND {none pg_ts_config c.oid}`, func(a *row) {
		id, schema, name, parser := a.oid(), r.schemas[a.oid()], a.text(), a.text()
		full := "TEXT SEARCH CONFIGURATION " + r.qualified(schema, name)
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.TextSearchConfig, Schema: schema, Name: name}
			o.Set("parser", parser)
			o.SQL = []string{"CREATE " + full + " (PARSER = " + parser + ")"}
			for _, m := range mappings[id] {
				o.Set("mapping for "+m.Name, m.Value)
				o.SQL = append(o.SQL, "ALTER "+full+" ADD MAPPING FOR "+r.quote(m.Name)+" WITH "+m.Value)
			}
			b.add(obj{pgTsConfig, id}, o, full)
		})
	})
	r.ask(`SELECT c.oid, t.alias, string_agg(`+fmt.Sprintf(named, "pg_ts_dict", "dict", "m.mapdict")+`, ', ' ORDER BY m.mapseqno)
FROM pg_ts_config c JOIN pg_ts_config_map m ON m.mapcfg = c.oid JOIN LATERAL ts_token_type(c.cfgparser) t ON t.tokid = m.maptokentype
WHERE c.cfgnamespace IN {schemas} GROUP BY 1, 2 ORDER BY 1, 2`, func(a *row) {
		id := a.oid()
		mappings[id] = append(mappings[id], catalog.Attr{Name: a.text(), Value: a.text()})
	})
}

func (r *Reader) askMethods() {
	r.defineAll(pgConversion, catalog.Conversion, `SELECT v.oid, v.connamespace, v.conname, NULL, CASE WHEN v.condefault THEN 'DEFAULT' END,
	'FOR ' || quote_literal(pg_encoding_to_char(v.conforencoding)) || ' TO ' || quote_literal(pg_encoding_to_char(v.contoencoding)) || ' FROM ' || v.conproc::regproc
FROM pg_conversion v WHERE v.connamespace IN {schemas} AND {none pg_conversion v.oid}`)
	if r.wholeDatabase() {
		r.defineAll(pgAm, catalog.AccessMethod, `SELECT m.oid, 0, m.amname, NULL, NULL, 'TYPE ' || CASE m.amtype WHEN 't' THEN 'TABLE' ELSE 'INDEX' END || ' HANDLER ' || m.amhandler::regproc
FROM pg_am m WHERE m.oid >= `+firstNormal+` AND {none pg_am m.oid}`)
	}
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
	name, publish := "PUBLICATION "+b.r.quote(p.name), strings.Join(p.publish, ", ")
	c := creation{Object: o, sql: "CREATE " + name}
	if p.allTables {
		c.add("for", "all tables", " FOR ALL TABLES")
	}
	o.Set("publish", publish)
	c.sql += " WITH (publish = " + Literal(publish)
	c.flag(p.viaRoot, "publish via partition root", ", publish_via_partition_root = true")
	if p.generated {
		c.add("publish generated columns", "stored", ", publish_generated_columns = stored")
	}
	o.SQL = []string{c.sql + ")"}
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
