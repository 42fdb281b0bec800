package mycatalog

import (
	"context"
	"fmt"
	"strings"
)

// show is a SHOW CREATE to send, and a function for its result.
type show struct {
	what string // TABLE `t`
	made func(row []string) error
}

// show adds a SHOW CREATE.
func (r *reader) show(kind, name string, made func(row []string) error) {
	r.shows = append(r.shows, show{kind + " " + quote(name), made})
}

// showAll sends them. MariaDB answers a block with one result for each of its statements.
func (r *reader) showAll(ctx context.Context) error {
	n := r.perBlock
	for from := 0; from < len(r.shows); from += n {
		if err := r.showSome(ctx, r.shows[from:min(from+n, len(r.shows))]); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) showSome(ctx context.Context, shows []show) error {
	var block strings.Builder
	for _, s := range shows {
		block.WriteString("SHOW CREATE " + s.what + ";\n")
	}
	query := strings.TrimSuffix(block.String(), ";\n")
	if len(shows) > 1 {
		query = "BEGIN NOT ATOMIC\n" + block.String() + "END"
	}
	rows, err := r.q.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("SHOW CREATE %s: %w", shows[0].what, err)
	}
	defer rows.Close()
	for i, s := range shows {
		if i > 0 && !rows.NextResultSet() || !rows.Next() {
			if err = rows.Err(); err == nil {
				err = fmt.Errorf("there was no answer")
			}
			return fmt.Errorf("SHOW CREATE %s: %w", s.what, err)
		}
		row, err := texts(rows)
		if err == nil {
			err = s.made(row)
		}
		if err != nil {
			return fmt.Errorf("SHOW CREATE %s: %w", s.what, err)
		}
		for rows.Next() { // one row is all there is
		}
	}
	return rows.Err()
}
