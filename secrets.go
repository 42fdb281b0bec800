package whimbrel

import (
	"errors"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// masked returns a statement of a script without its passwords, for display and storage.
func (m *Migrator) masked(s *migration.Script, text string) string {
	return s.Mask(text, m.db.Dialect())
}

// leastShown is the length from which maskError masks a literal: shorter ones are parts of other
// words.
const leastShown = 3

// maskError removes the passwords of a statement from an error: servers quote the statement.
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
