package mycatalog

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// head is how CREATE begins: with words such as ALGORITHM=MERGE, up to the kind of what is created.
type head struct {
	words sqltext.TokenList // without DEFINER
	list  sqltext.TokenList // all tokens
	name  int               // the index of the name among them
}

// cutHead reads up to the name.
func cutHead(sql string, kinds ...string) (h head, err error) {
	h.list = sqltext.List(sql, sqltext.MySQL)
	for i := 1; i < len(h.list); i++ {
		switch {
		case h.list.Is(i, "DEFINER", "="):
			for i += 2; h.list.Is(i+1, "@"); i += 2 {
			}
			if h.list.Is(i+1, "(") { // CURRENT_USER()
				i += 2
			}
		case h.list.Any(i, kinds...):
			for i++; !isName(h.list, i) && h.list.Any(i, "IF", "NOT", "EXISTS", "BODY"); i++ {
			}
			if h.list.Is(i+1, ".") {
				i += 2
			}
			if h.name = i; i+1 < len(h.list) {
				return h, nil
			}
		default:
			h.words = append(h.words, h.list[i])
		}
	}
	return h, notUnderstood(sql)
}

// view creates an object from a CREATE VIEW. An invalid view, which refers to objects that no
// longer exist, can't be created again.
func (r *reader) view(name, sql string, valid bool) error {
	sql = r.unqualified(sql)
	h, err := cutHead(sql, "VIEW")
	if err != nil {
		return err
	}
	o := catalog.Object{Kind: catalog.View, Name: name}
	how := ""
	for i := range h.words {
		switch {
		case h.words.Is(i, "ALGORITHM", "=") && i+2 < len(h.words) && !h.words.Is(i+2, "UNDEFINED"):
			o.Set("algorithm", strings.ToLower(h.words[i+2].Text))
			how += "ALGORITHM=" + h.words[i+2].Text + " "
		case h.words.Is(i, "SQL", "SECURITY", "INVOKER"):
			o.Set("security", "invoker")
			how += "SQL SECURITY INVOKER "
		}
	}
	i := h.name + 1
	if h.list.Is(i, "(") { // MySQL lists the columns
		o.Set("columns", render(h.list.Inside(i)))
		i = h.list.Closing(i)
	}
	body, check := h.list.From(i+1), ""
	if n := len(body); n > 4 && body.Is(n-4, "WITH") && body.Is(n-2, "CHECK", "OPTION") {
		check = strings.ToLower(body[n-3].Text)
		body = body[:n-4]
	}
	if len(body) == 0 {
		return notUnderstood(sql)
	}
	o.Set("definition", strings.TrimSpace(sql[body[0].Pos:body[len(body)-1].End()]))
	o.Set("check option", check)
	o.Needs = viewNeeds(body)
	if valid {
		o.SQL = []string{"CREATE " + how + "VIEW " + strings.TrimSpace(sql[h.list[h.name].Pos:])}
	} else {
		o.Set("valid", "no")
		r.omitted = append(r.omitted, "a way to make "+o.ID()+" again: it refers to tables, columns or functions that are not there, or its definer may not use them")
	}
	r.objects = append(r.objects, o)
	return nil
}

// viewNeeds returns the views and tables that a definition reads, which must be created first if
// they exist. (Functions are created first anyway.)
func viewNeeds(list sqltext.TokenList) []string {
	var ids []string
	for i := range list {
		if isName(list, i) && !list.Is(i+1, ".") && inTablePlace(list, i) {
			name := list[i].Name()
			ids = append(ids, id(catalog.Table, "", name), id(catalog.View, "", name), id(catalog.Sequence, "", name))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// sequence creates an object from a CREATE SEQUENCE, which MariaDB writes as words, some of them
// with a value.
func (r *reader) sequence(name, sql string) error {
	h, err := cutHead(sql, "SEQUENCE")
	if err != nil {
		return err
	}
	o := catalog.Object{Kind: catalog.Sequence, Name: name}
	words := h.list[h.name+1:]
	for i := 0; i < len(words); i++ {
		word := strings.ToLower(words[i].Text)
		if word == "nocycle" {
			continue
		}
		if word == "cycle" || word == "nocache" {
			o.Set(word, "yes")
			continue
		}
		for i++; words.Any(i, "with", "by", "="); i++ {
		}
		from := i
		if words.Is(i, "-") {
			i++
		}
		for word == "as" && words.Is(i+1, "unsigned") {
			i++
		}
		o.Set(word, render(words[:min(i+1, len(words))].From(from)))
	}
	o.SQL = []string{"CREATE SEQUENCE " + sql[h.list[h.name].Pos:]}
	r.objects = append(r.objects, o)
	return nil
}
