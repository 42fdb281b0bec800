package migration

import "github.com/whimbrel-db/whimbrel/sqltext"

// Hidden returns the parts of a text of the script that must not be shown: its passwords, and all
// literals if the script has the directive secret.
func (s *Script) Hidden(text string, d sqltext.Dialect) []sqltext.Span {
	if s.Secret {
		return sqltext.Literals(text, d)
	}
	return sqltext.Secrets(text, d)
}

// Mask returns a text of the script with its Hidden parts replaced.
func (s *Script) Mask(text string, d sqltext.Dialect) string {
	return sqltext.MaskSpans(text, s.Hidden(text, d))
}
