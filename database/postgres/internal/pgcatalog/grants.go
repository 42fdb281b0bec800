package pgcatalog

import (
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// privileges are what an object's access list has, and what that of a new object would have.
type privileges struct{ has, usual map[grantee]map[string]bool }

// grantee is a role. The owner is nobody in particular, so that schemas with different owners can
// be equal.
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

func (g grantee) sql(r *Reader) string {
	switch g.rank {
	case 0:
		return "CURRENT_USER" // who creates an object owns it
	case 1:
		return "PUBLIC"
	}
	return r.quote(g.role)
}

func (g grantee) String() string { return [...]string{"the owner", "everybody", g.role}[g.rank] }

// askPrivileges asks for all access lists there are, and takes each apart.
func (r *Reader) askPrivileges() {
	if r.opts.NoGrants {
		return
	}
	const publicNow = `CASE WHEN current_setting('server_version_num')::int >= 150000 THEN 'U' ELSE 'UC' END`
	r.ask(`WITH lists AS (
	SELECT 'pg_class'::regclass::oid AS class, oid, 0 AS sub, relowner AS owner, relacl AS acl, acldefault(CASE WHEN relkind = 'S' THEN 's' ELSE 'r' END::"char", relowner) AS usual FROM pg_class WHERE relacl IS NOT NULL AND relnamespace IN {schemas}
	UNION ALL SELECT 'pg_class'::regclass, a.attrelid, a.attnum, c.relowner, a.attacl, '{}' FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attacl IS NOT NULL AND c.relnamespace IN {schemas} AND NOT a.attisdropped
	UNION ALL SELECT 'pg_proc'::regclass, oid, 0, proowner, proacl, acldefault('f', proowner) FROM pg_proc WHERE proacl IS NOT NULL AND pronamespace IN {schemas}
	UNION ALL SELECT 'pg_type'::regclass, oid, 0, typowner, typacl, acldefault('T', typowner) FROM pg_type WHERE typacl IS NOT NULL AND typnamespace IN {schemas}
	UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, nspowner, coalesce(nspacl, acldefault('n', nspowner)),
		CASE WHEN nspname = 'public' THEN acldefault('n', nspowner) || ('=' || `+publicNow+` || '/' || quote_ident(pg_get_userbyid(nspowner)))::aclitem ELSE acldefault('n', nspowner) END
		FROM pg_namespace WHERE (nspacl IS NOT NULL OR nspname = 'public') AND oid IN {schemas}
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
			p = &privileges{map[grantee]map[string]bool{}, map[grantee]map[string]bool{}}
			r.privileges[key] = p
		}
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
	})
}

// grants adds to an object what was granted and revoked, in comparison to a new object of its kind.
func (b *builder) grants(key sub, o *catalog.Object, name string) {
	p := b.r.privileges[key]
	if p == nil {
		return
	}
	all := maps.Clone(p.has)
	maps.Copy(all, p.usual)
	for _, g := range slices.SortedFunc(maps.Keys(all), grantee.compare) {
		b.grantsTo(g, p.has[g], p.usual[g], key, o, name)
	}
}

func (b *builder) grantsTo(g grantee, has, usual map[string]bool, key sub, o *catalog.Object, name string) {
	if maps.Equal(has, usual) {
		return
	}
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
	to := g.sql(b.r)
	on := grantWord(name)
	columns := ""
	if key.column > 0 {
		columns = " (" + b.r.quote(o.Name) + ")"
		on = "TABLE " + b.r.qualified(o.Schema, o.Of)
	}
	list := func(privileges []string) string {
		withColumns := make([]string, len(privileges))
		for i, p := range privileges {
			withColumns[i] = p + columns
		}
		return strings.Join(withColumns, ", ")
	}
	o.Set("grant to "+g.String(), strings.Join(granted, ", "))
	o.Set("grant with grant option to "+g.String(), strings.Join(grantable, ", "))
	o.Set("revoke from "+g.String(), strings.Join(revoked, ", "))
	if len(revoked) > 0 {
		o.Late = append(o.Late, "REVOKE "+list(revoked)+" ON "+on+" FROM "+to)
	}
	if len(granted) > 0 {
		o.Late = append(o.Late, "GRANT "+list(granted)+" ON "+on+" TO "+to)
	}
	if len(grantable) > 0 {
		o.Late = append(o.Late, "GRANT "+list(grantable)+" ON "+on+" TO "+to+" WITH GRANT OPTION")
	}
}

// grantWord is how GRANT calls what COMMENT calls by a name: all that has rows is a table there, an
// aggregate is a function.
func grantWord(name string) string {
	for _, w := range [][2]string{
		{"MATERIALIZED VIEW ", "TABLE "}, {"VIEW ", "TABLE "}, {"FOREIGN TABLE ", "TABLE "}, {"AGGREGATE ", "FUNCTION "},
		{"SERVER ", "FOREIGN SERVER "},
	} {
		if rest, ok := strings.CutPrefix(name, w[0]); ok {
			return w[1] + rest
		}
	}
	return name
}
