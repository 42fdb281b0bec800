package mycatalog

import (
	"context"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// listEvents lists events. It omits an event that drops itself at its end if it runs once or has
// already ended.
func (r *reader) listEvents(ctx context.Context) error {
	return r.eachText(ctx, `SELECT event_name, sql_mode, time_zone, event_comment,
	coalesce(starts = created OR convert_tz(starts, time_zone, @@time_zone) = created, false),
	on_completion <> 'PRESERVE' AND (event_type = 'ONE TIME' OR coalesce(ends <= now(), false))`+r.from("events", "event_schema"), func(v []string) {
		name := v[0]
		o := catalog.Object{Kind: catalog.Event, Name: name}
		if v[5] == "1" {
			r.omitted = append(r.omitted, o.ID()+", which drops itself when it is over")
			return
		}
		r.show("EVENT", name, func(row []string) error {
			if err := event(&o, row[3], v[4] == "1"); err != nil {
				return err
			}
			o.Set("time zone", v[2])
			if v[3] != "" {
				o.Set("comment", literal(v[3]))
			}
			o.Set("sql mode", v[1])
			o.SQL = r.inMode(v[1], o.SQL[0])
			o.SQL = append(append([]string{"SET time_zone = " + literal(v[2])}, o.SQL...), "SET time_zone = "+literal(utc))
			r.objects = append(r.objects, o)
			return nil
		})
	})
}

// event creates an object from a CREATE EVENT. sinceMade says that the event starts when it was
// created.
func event(o *catalog.Object, sql string, sinceMade bool) error {
	h, err := cutHead(sql, "EVENT")
	if err != nil {
		return err
	}
	list := h.list[h.name+1:]
	schedule, completion, do := -1, -1, -1
	for i := range list {
		switch {
		case schedule < 0 && list.Is(i, "ON", "SCHEDULE"):
			schedule = i + 2
		case completion < 0 && list.Is(i, "ON", "COMPLETION"):
			completion = i
		case do < 0 && completion > 0 && list.Is(i, "DO"):
			do = i
		}
	}
	if schedule < 0 || completion < 0 || do < 0 || do+1 == len(list) {
		return notUnderstood(sql)
	}
	when := list[schedule:completion]
	for i := range when {
		if sinceMade && when.Is(i, "STARTS") {
			when = append(when[:i:i], when[min(i+2, len(when)):]...)
			break
		}
	}
	o.Set("schedule", render(when))
	if !list.Is(completion+2, "NOT") {
		o.Set("on completion", "preserve")
	}
	options := list[completion:do]
	for i := range options {
		if options.Is(i, "DISABLE") {
			end := i + 1
			for end < len(options) && !options.Is(end, "COMMENT") {
				end++
			}
			o.Set("status", strings.ToLower(render(options[i:end])))
		}
	}
	body := strings.TrimSpace(sql[list[do+1].Pos:])
	o.Set("definition", body)
	o.SQL = []string{"CREATE EVENT " + quote(o.Name) + " ON SCHEDULE " + render(when) + " " + render(options) + " DO\n" + body}
	return nil
}
