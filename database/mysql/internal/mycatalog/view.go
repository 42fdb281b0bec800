package mycatalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// head is how CREATE begins: with words such as ALGORITHM=MERGE, up to the kind of what is created.
type head struct {
	words []tok // without DEFINER
	list  []tok // all tokens
	name  int   // the index of the name among them
}

// cutHead reads up to the name.
func cutHead(sql string, kinds ...string) (h head, err error) {
	h.list = tokens(sql)
	for i := 1; i < len(h.list); i++ {
		switch {
		case is(h.list, i, "DEFINER", "="):
			for i += 2; is(h.list, i+1, "@"); i += 2 {
			}
			if is(h.list, i+1, "(") { // CURRENT_USER()
				i += 2
			}
		case isAny(h.list, i, kinds...):
			for i++; !isName(h.list, i) && isAny(h.list, i, "IF", "NOT", "EXISTS", "BODY"); i++ {
			}
			if is(h.list, i+1, ".") {
				i += 2
			}
			if h.name = i; i+1 < len(h.list) {
				return h, nil
			}
		default:
			h.words = append(h.words, h.list[i])
		}
	}
	return h, fmt.Errorf("this is not understood: %.100s", sql)
}

// view makes an object of a CREATE VIEW. One that is not valid, since what it is made of is gone, can't be
// made again.
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
		case is(h.words, i, "ALGORITHM", "=") && i+2 < len(h.words) && !is(h.words, i+2, "UNDEFINED"):
			o.Set("algorithm", strings.ToLower(h.words[i+2].text))
			how += "ALGORITHM=" + h.words[i+2].text + " "
		case is(h.words, i, "SQL", "SECURITY", "INVOKER"):
			o.Set("security", "invoker")
			how += "SQL SECURITY INVOKER "
		}
	}
	i := h.name + 1
	if is(h.list, i, "(") { // MySQL lists the columns
		end := closing(h.list, i)
		o.Set("columns", render(h.list[i+1:end-1]))
		i = end
	}
	body, check := h.list[min(i+1, len(h.list)):], ""
	if n := len(body); n > 4 && is(body, n-4, "WITH") && is(body, n-2, "CHECK", "OPTION") {
		check = strings.ToLower(body[n-3].text)
		body = body[:n-4]
	}
	o.Set("definition", strings.TrimSpace(sql[body[0].pos:body[len(body)-1].end]))
	o.Set("check option", check)
	o.Needs = viewNeeds(body)
	if valid {
		o.SQL = []string{"CREATE " + how + "VIEW " + strings.TrimSpace(sql[h.list[h.name].pos:])}
	} else {
		o.Set("valid", "no")
		r.omitted = append(r.omitted, "a way to make "+o.ID()+" again: it refers to tables, columns or functions that are not there, or its definer may not use them")
	}
	r.objects = append(r.objects, o)
	return nil
}

// viewNeeds returns the views and tables that a definition reads. They come first, if there are any of these names. (The
// functions do anyway.)
func viewNeeds(list []tok) []string {
	var ids []string
	for i := range list {
		if isName(list, i) && !is(list, i+1, ".") && inTablePlace(list, i) {
			name := list[i].unquote()
			ids = append(ids, id(catalog.Table, "", name), id(catalog.View, "", name), id(catalog.Sequence, "", name))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// sequence makes an object of a CREATE SEQUENCE, which MariaDB writes as words, some of them with a value.
func (r *reader) sequence(name, sql string) error {
	h, err := cutHead(sql, "SEQUENCE")
	if err != nil {
		return err
	}
	o := catalog.Object{Kind: catalog.Sequence, Name: name}
	words := h.list[h.name+1:]
	for i := 0; i < len(words); i++ {
		word := strings.ToLower(words[i].text)
		if word == "nocycle" {
			continue
		}
		if word == "cycle" || word == "nocache" {
			o.Set(word, "yes")
			continue
		}
		for i++; isAny(words, i, "with", "by", "="); i++ {
		}
		from := i
		if is(words, i, "-") {
			i++
		}
		for word == "as" && is(words, i+1, "unsigned") {
			i++
		}
		o.Set(word, render(words[from:min(i+1, len(words))]))
	}
	o.SQL = []string{"CREATE SEQUENCE " + sql[h.list[h.name].pos:]}
	r.objects = append(r.objects, o)
	return nil
}
