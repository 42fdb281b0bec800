package sqltext

// sqliteGrammar finds the end of CREATE TRIGGER as SQLite's shell does: at a semicolon, END and
// another semicolon.
type sqliteGrammar struct {
	state   sqliteState
	beginAt int
}

type sqliteState uint8

const (
	liteStart   sqliteState = iota
	liteOther               // nothing to watch for
	liteCreate              // CREATE [TEMP]
	liteTrigger             // CREATE TRIGGER
	liteBody                // … BEGIN
	liteSemi                // … BEGIN …;
	liteEnd                 // … BEGIN …; END
)

func (g *sqliteGrammar) begin() { *g = sqliteGrammar{} }

func (g *sqliteGrammar) inBody() bool { return g.state >= liteBody }

func (g *sqliteGrammar) open() *unfinished {
	if g.state != liteBody && g.state != liteSemi {
		return nil
	}
	return &unfinished{g.beginAt, "the trigger's body that begins here is not closed: BEGIN needs an END, after the semicolon of the body's last statement"}
}

func (g *sqliteGrammar) token(l *lexer, k TokenKind, tok []byte, word string) bool {
	switch g.state {
	case liteStart:
		switch word {
		case "EXPLAIN", "QUERY", "PLAN":
		case "CREATE":
			g.state = liteCreate
		default:
			g.state = liteOther
		}
	case liteCreate:
		switch word {
		case "TEMP", "TEMPORARY":
		case "TRIGGER":
			g.state = liteTrigger
		default:
			g.state = liteOther
		}
	case liteTrigger:
		if word == "BEGIN" {
			g.state, g.beginAt = liteBody, l.i-len(tok)
		}
	default:
		switch {
		case k == tSemi:
			g.state = liteSemi
		case g.state == liteSemi && word == "END":
			g.state = liteEnd
		default:
			g.state = liteBody
		}
	}
	return g.state != liteOther
}
