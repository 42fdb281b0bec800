package mycatalog

import (
	"context"
	"errors"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// listRoutines lists functions and procedures, and MariaDB's packages.
func (r *reader) listRoutines(ctx context.Context) error {
	return r.eachText(ctx, "SELECT routine_type, routine_name, is_deterministic, sql_data_access, security_type, routine_comment, sql_mode"+
		r.from("routines", "routine_schema"), func(v []string) {
		o := catalog.Object{Kind: catalog.Kind(strings.ToLower(v[0])), Name: v[1]}
		r.show(v[0], v[1], func(row []string) error {
			if row[2] == "" {
				return errors.New("its body is only for its definer: give the user the privilege SHOW CREATE ROUTINE (MariaDB 11.3 and later), SHOW_ROUTINE (MySQL), or SELECT on mysql.proc")
			}
			if err := r.routine(&o, v, row[2]); err != nil {
				return err
			}
			r.objects = append(r.objects, o)
			return nil
		})
	})
}

// routine creates an object from a CREATE FUNCTION, CREATE PROCEDURE or CREATE PACKAGE.
func (r *reader) routine(o *catalog.Object, facts []string, sql string) error {
	h, err := cutHead(sql, strings.Fields(facts[0])[0])
	if err != nil {
		return err
	}
	rest := sql[h.list[h.name].End():]
	if i := h.name + 1; h.list.Is(i, "(") {
		o.Set("parameters", render(h.list.Inside(i)))
		rest = sql[h.list[h.list.Closing(i)-1].End():]
	}
	if o.Kind == catalog.Function {
		returns, body, _ := strings.Cut(rest, "\n")
		o.Set("returns", strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(returns), "RETURN "), "RETURNS "))
		rest = body
	}
	if h.words.Is(0, "AGGREGATE") {
		o.Set("aggregate", "yes")
	}
	if facts[2] == "YES" {
		o.Set("deterministic", "yes")
	}
	if facts[3] != "CONTAINS SQL" {
		o.Set("data access", strings.ToLower(facts[3]))
	}
	if facts[4] != "DEFINER" {
		o.Set("security", strings.ToLower(facts[4]))
	}
	if facts[5] != "" {
		o.Set("comment", literal(facts[5]))
	}
	o.Set("sql mode", facts[6])
	o.Set("definition", withoutTraits(rest))
	kind := strings.ToUpper(facts[0])
	if o.Attr("aggregate") != "" {
		kind = "AGGREGATE " + kind
	}
	o.SQL = r.inMode(facts[6], "CREATE "+kind+" "+sql[h.list[h.name].Pos:])
	return nil
}

// withoutTraits returns a routine's body: the text after the lines that the server writes for its
// characteristics.
func withoutTraits(text string) string {
	text = strings.TrimPrefix(text, "\n")
	for {
		line, rest, ok := strings.Cut(text, "\n")
		words := strings.Fields(line)
		if !ok || !strings.HasPrefix(line, "    ") || len(words) == 0 {
			return strings.TrimSpace(text)
		}
		switch words[0] {
		case "NO", "READS", "MODIFIES", "CONTAINS", "DETERMINISTIC", "SQL", "COMMENT", "LANGUAGE":
			text = rest
		default:
			return strings.TrimSpace(text)
		}
	}
}

// syncPrefix is how the names of the triggers begin that Whimbrel itself creates for backfills.
const syncPrefix = "whimbrel_sync_"

// listTriggers lists triggers in the order in which they fire. A trigger for several events, which
// newer servers have, is listed several times.
func (r *reader) listTriggers(ctx context.Context) error {
	last, after := "", ""
	seen := map[string]bool{}
	return r.eachText(ctx, "SELECT trigger_name, event_object_table, action_timing, event_manipulation, sql_mode"+r.from("triggers", "trigger_schema")+
		" ORDER BY event_object_table, action_timing, event_manipulation, action_order", func(v []string) {
		name, of, moment := v[0], v[1], v[1]+"\x00"+v[2]+" "+v[3]
		if r.own[strings.ToLower(of)] || seen[name] || strings.HasPrefix(name, syncPrefix) && r.own[strings.ToLower(name)] {
			return
		}
		seen[name] = true
		o := catalog.Object{Kind: catalog.Trigger, Of: of, Name: name}
		if last == moment {
			o.Set("follows", quote(after))
			o.Needs = []string{id(catalog.Trigger, of, after)}
		}
		last, after = moment, name
		r.show("TRIGGER", name, func(row []string) error {
			when, body, err := cutTrigger(row[2])
			if err != nil {
				return err
			}
			o.Set("when", strings.ToLower(when))
			o.Set("sql mode", v[4])
			o.Set("definition", body)
			o.SQL = r.inMode(v[4], "CREATE TRIGGER "+quote(name)+" "+when+" ON "+quote(of)+" FOR EACH ROW\n"+body)
			r.objects = append(r.objects, o)
			return nil
		})
	})
}

// cutTrigger returns when a trigger fires and its body. The server keeps the text as written,
// except DEFINER.
func cutTrigger(sql string) (when, body string, err error) {
	h, err := cutHead(sql, "TRIGGER")
	if err != nil {
		return "", "", err
	}
	list := h.list[h.name+1:]
	on := list.Index("ON")
	at := list.Index("FOR", "EACH", "ROW") + 3
	if list.Any(at, "FOLLOWS", "PRECEDES") {
		at += 2
	}
	if on < 0 || at < 3 || at >= len(list) {
		return "", "", notUnderstood(sql)
	}
	return strings.ToUpper(render(list[:on])), sql[list[at].Pos:], nil
}
