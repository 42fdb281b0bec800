package sqltext

// postgresGrammar finds the two statements of PostgreSQL that do not end at a semicolon outside
// parentheses: a routine with a BEGIN ATOMIC … END body, and COPY … FROM stdin, which data follows.
type postgresGrammar struct {
	state   postgresState
	beginAt int
	fresh   bool // at the beginning of a statement of the body
}

type postgresState uint8

const (
	pgStart    postgresState = iota
	pgOther                  // nothing to watch for
	pgCreate                 // CREATE [OR REPLACE]
	pgRoutine                // CREATE FUNCTION or PROCEDURE
	pgBegin                  // … BEGIN
	pgBody                   // … BEGIN ATOMIC
	pgBodyDone               // … END
	pgCopy                   // COPY
	pgCopyFrom               // COPY … FROM
	pgCopyIn                 // COPY … FROM stdin
)

func (g *postgresGrammar) begin() { *g = postgresGrammar{} }

func (g *postgresGrammar) inBody() bool { return g.state == pgBody }

func (g *postgresGrammar) open() *unfinished {
	if g.state != pgBody {
		return nil
	}
	return &unfinished{g.beginAt, "the body that begins here is not closed: BEGIN ATOMIC needs an END, after the semicolon of the body's last statement"}
}

func (g *postgresGrammar) token(l *lexer, k TokenKind, tok []byte, word string) bool {
	switch g.state {
	case pgStart:
		g.state = pgOther
		switch word {
		case "CREATE":
			g.state = pgCreate
		case "COPY":
			g.state = pgCopy
		}
	case pgCreate:
		switch word {
		case "OR", "REPLACE":
		case "FUNCTION", "PROCEDURE":
			g.state = pgRoutine
		default:
			g.state = pgOther
		}
	case pgRoutine, pgBegin:
		g.routine(l, word, len(tok))
	case pgBody:
		// END closes the body only where a statement could begin. A CASE's END, or a column called
		// "end", is never at such a place.
		if g.fresh && word == "END" {
			g.state = pgBodyDone
		}
		g.fresh = k == tSemi
	case pgCopy:
		if word == "FROM" && l.depth == 0 {
			g.state = pgCopyFrom
		}
	case pgCopyFrom:
		g.state = pgOther
		if word == "STDIN" || word == "STDOUT" { // the server takes either
			g.state = pgCopyIn
		}
	}
	return g.state != pgOther && g.state != pgBodyDone && g.state != pgCopyIn
}

func (g *postgresGrammar) routine(l *lexer, word string, n int) {
	switch {
	case g.state == pgBegin && word == "ATOMIC":
		g.state, g.fresh = pgBody, true
	case word == "BEGIN" && l.depth == 0:
		g.state, g.beginAt = pgBegin, l.i-n
	default:
		g.state = pgRoutine
	}
}
