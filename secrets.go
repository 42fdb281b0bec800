package whimbrel

import (
	"errors"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// masked is a statement of a script as it may be shown and written down: without its passwords.
func (m *Migrator) masked(s *migration.Script, text string) string {
	return s.Mask(text, m.db.Dialect())
}

// leastShown is the length below which a masked literal is not looked for in a message: it would be part of other words.
const leastShown = 3

// maskError takes the passwords of a statement out of what a server says of it: servers quote the text.
func (m *Migrator) maskError(err error, s *migration.Script) {
	var st *database.StatementError
	if s == nil || !errors.As(err, &st) {
		return
	}
	var pairs []string
	for _, span := range s.Hidden(st.Statement, m.db.Dialect()) {
		if secret := st.Statement[span.From:span.To]; len(secret) >= leastShown {
			pairs = append(pairs, secret, sqltext.Masked)
		}
	}
	quoted := strings.NewReplacer(pairs...)
	for _, text := range []*string{&st.Message, &st.Detail, &st.Hint, &st.Where} {
		*text = m.masked(s, quoted.Replace(*text))
	}
	st.Statement = m.masked(s, st.Statement)
}
