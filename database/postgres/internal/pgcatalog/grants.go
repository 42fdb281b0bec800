package pgcatalog

import (
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/internal/order"
)

// privileges are an object's access list and that of a new object.
type privileges struct{ has, usual map[grantee]map[string]bool }

// grantee is a role. The owner has no name, so that schemas with different owners can be equal.
type grantee struct {
	rank int // 0 the owner, 1 everybody, 2 a role
	role string
}

func (g grantee) compare(h grantee) int {
	if g.rank != h.rank {
		return g.rank - h.rank
	}
	return strings.Compare(g.role, h.role)
}

func (g grantee) String() string { return [...]string{"the owner", "everybody", g.role}[g.rank] }

// askPrivileges queries all access lists, one privilege per row.
func (r *Reader) askPrivileges() {
	if r.opts.NoGrants {
		return
	}
	const publicNow = `CASE WHEN current_setting('server_version_num')::int >= 150000 THEN 'U' ELSE 'UC' END`
	r.ask(`WITH lists AS (
	SELECT 'pg_class'::regclass::oid AS class, oid, 0 AS sub, relowner AS owner, relacl AS acl, acldefault(CASE WHEN relkind = 'S' THEN 's' ELSE 'r' END::"char", relowner) AS usual FROM pg_class WHERE relacl IS NOT NULL AND relnamespace IN {schemas}
	UNION ALL SELECT 'pg_class'::regclass, a.attrelid, a.attnum, c.relowner, a.attacl, acldefault('c', c.relowner) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attacl IS NOT NULL AND c.relnamespace IN {schemas} AND NOT a.attisdropped
	UNION ALL SELECT 'pg_proc'::regclass, oid, 0, proowner, proacl, acldefault('f', proowner) FROM pg_proc WHERE proacl IS NOT NULL AND pronamespace IN {schemas}
	UNION ALL SELECT 'pg_type'::regclass, oid, 0, typowner, typacl, acldefault('T', typowner) FROM pg_type WHERE typacl IS NOT NULL AND typnamespace IN {schemas}
	UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, nspowner, coalesce(nspacl, acldefault('n', nspowner)),
		CASE WHEN nspname = 'public' THEN acldefault('n', nspowner) || ('=' || `+publicNow+` || '/' || quote_ident(pg_get_userbyid(nspowner)))::aclitem ELSE acldefault('n', nspowner) END
		FROM pg_namespace WHERE (nspacl IS NOT NULL OR nspname = 'public') AND oid IN {schemas}
	UNION ALL SELECT 'pg_default_acl'::regclass, oid, 0, defaclrole, defaclacl, acldefault(CASE WHEN defaclnamespace <> 0 THEN 'c' WHEN defaclobjtype = 'S' THEN 's' ELSE defaclobjtype END::"char", defaclrole) FROM pg_default_acl
	UNION ALL SELECT 'pg_language'::regclass, oid, 0, lanowner, lanacl, acldefault('l', lanowner) FROM pg_language WHERE lanacl IS NOT NULL AND $1::text[] IS NULL
	UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwowner, fdwacl, acldefault('F', fdwowner) FROM pg_foreign_data_wrapper WHERE fdwacl IS NOT NULL AND $1::text[] IS NULL
	UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0, srvowner, srvacl, acldefault('S', srvowner) FROM pg_foreign_server WHERE srvacl IS NOT NULL AND $1::text[] IS NULL
)
SELECT l.class, l.oid, l.sub, u.usual, CASE WHEN x.grantee = l.owner THEN 0 WHEN x.grantee = 0 THEN 1 ELSE 2 END, CASE WHEN x.grantee NOT IN (0, l.owner) THEN pg_get_userbyid(x.grantee) END,
	x.privilege_type, x.is_grantable AND x.grantee <> l.owner
FROM lists l CROSS JOIN (VALUES (false), (true)) u (usual) LEFT JOIN LATERAL aclexplode(CASE WHEN u.usual THEN l.usual ELSE l.acl END) x ON true`, func(a *row) {
		key := sub{obj{a.oid(), a.oid()}, int(a.number())}
		p := r.privileges[key]
		if p == nil {
			p = newPrivileges()
			r.privileges[key] = p
		}
		p.row(a)
	})
}

func newPrivileges() *privileges {
	return &privileges{map[grantee]map[string]bool{}, map[grantee]map[string]bool{}}
}

// row reads the columns after the object's: the list, the role and the privilege.
func (p *privileges) row(a *row) {
	lists := p.has
	if a.bool() {
		lists = p.usual
	}
	g := grantee{int(a.number()), a.text()}
	privilege, grantable := a.text(), a.bool()
	if privilege == "" {
		return
	}
	if lists[g] == nil {
		lists[g] = map[string]bool{}
	}
	lists[g][privilege] = lists[g][privilege] || grantable
}

// grants adds the privileges that were granted and revoked compared with a new object of the same
// kind. name is the one in COMMENT.
func (b *builder) grants(key sub, o *catalog.Object, name string) {
	p := b.r.privileges[key]
	if p == nil {
		return
	}
	s := grantSQL{r: b.r, on: grantWord(name), owner: "CURRENT_USER"} // the creator of an object owns it
	if key.column > 0 {
		s.columns = " (" + b.r.quote(o.Name) + ")"
		s.on = "TABLE " + b.r.qualified(o.Schema, o.Of)
	}
	s.all(o, p)
}

// grantSQL builds GRANT and REVOKE statements.
type grantSQL struct {
	r                          *Reader
	before, on, columns, owner string
	of                         string // prefix of the attributes' names
}

func (s *grantSQL) all(o *catalog.Object, p *privileges) {
	grantees := maps.Clone(p.has)
	maps.Copy(grantees, p.usual)
	sorted := slices.Collect(maps.Keys(grantees))
	order.By(sorted, grantee.compare)
	for _, g := range sorted {
		if !maps.Equal(p.has[g], p.usual[g]) {
			s.to(o, g, p.has[g], p.usual[g])
		}
	}
}

func (s *grantSQL) to(o *catalog.Object, g grantee, has, usual map[string]bool) {
	var granted, grantable, revoked []string
	for _, p := range slices.Sorted(maps.Keys(has)) {
		if has[p] {
			grantable = append(grantable, p)
		} else if _, ok := usual[p]; !ok {
			granted = append(granted, p)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(usual)) {
		if _, ok := has[p]; !ok {
			revoked = append(revoked, p)
		}
	}
	s.add(o, "revoke from "+g.String(), "REVOKE", revoked, " FROM "+s.role(g))
	s.add(o, "grant to "+g.String(), "GRANT", granted, " TO "+s.role(g))
	s.add(o, "grant with grant option to "+g.String(), "GRANT", grantable, " TO "+s.role(g)+" WITH GRANT OPTION")
}

func (s *grantSQL) add(o *catalog.Object, attr, verb string, privileges []string, to string) {
	if len(privileges) == 0 {
		return
	}
	o.Set(s.of+attr, strings.Join(privileges, ", "))
	list := make([]string, len(privileges))
	for i, p := range privileges {
		list[i] = p + s.columns
	}
	o.Late = append(o.Late, s.before+verb+" "+strings.Join(list, ", ")+" ON "+s.on+to)
}

func (s *grantSQL) role(g grantee) string {
	switch g.rank {
	case 0:
		return s.owner
	case 1:
		return "PUBLIC"
	}
	return s.r.quote(g.role)
}

const pgDefaultACL oid = 826

// askDefaultPrivileges queries the privileges on objects that a role creates. They come last, since
// they would affect objects created after them.
func (r *Reader) askDefaultPrivileges() {
	if r.opts.NoGrants {
		return
	}
	r.ask(`SELECT d.oid, pg_get_userbyid(d.defaclrole), coalesce(n.nspname, ''), CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace WHERE d.defaclnamespace = 0 AND $1::text[] IS NULL OR d.defaclnamespace IN {schemas}`, func(a *row) {
		id, role, schema, what := a.oid(), a.text(), a.text(), a.text()
		r.build(func(b *builder) {
			p := r.privileges[sub{obj{pgDefaultACL, id}, 0}]
			if p == nil {
				return
			}
			o := &catalog.Object{Kind: catalog.DefaultPrivileges, Schema: schema, Name: role, Signature: " on " + strings.ToLower(what)}
			s := grantSQL{r: r, before: "ALTER DEFAULT PRIVILEGES FOR ROLE " + r.quote(role) + " ", on: what, owner: r.quote(role)}
			if schema != "" {
				s.before += "IN SCHEMA " + r.quote(schema) + " "
			}
			s.all(o, p)
			b.objects = append(b.objects, o)
		})
	})
}

// grantWord converts a name in COMMENT to that in GRANT, in which everything with rows is a table
// and an aggregate is a function.
func grantWord(name string) string {
	for _, w := range [][2]string{
		{"MATERIALIZED VIEW ", "TABLE "},
		{"VIEW ", "TABLE "},
		{"FOREIGN TABLE ", "TABLE "},
		{"AGGREGATE ", "FUNCTION "},
		{"SERVER ", "FOREIGN SERVER "},
		{"FOREIGN-DATA WRAPPER ", "FOREIGN DATA WRAPPER "}, // as the server identifies it
	} {
		if rest, ok := strings.CutPrefix(name, w[0]); ok {
			return w[1] + rest
		}
	}
	return name
}
