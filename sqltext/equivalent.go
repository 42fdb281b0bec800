package sqltext

// Equivalent reports whether two texts differ in comments and white space alone. Texts
// that cannot be cut are equivalent only if they are equal.
func Equivalent(a, b string, d Dialect) bool {
	if a == b {
		return true
	}
	as, aerr := significant(a, d)
	bs, berr := significant(b, d)
	if aerr != nil || berr != nil || len(as) != len(bs) {
		return false
	}
	for i := range as {
		if as[i].Kind != bs[i].Kind || !sameTokens(as[i], bs[i], d) {
			return false
		}
	}
	return true
}

// significant returns the pieces that say something.
func significant(text string, d Dialect) ([]Statement, error) {
	pieces, err := Split(text, d, Options{})
	var some []Statement
	for _, p := range pieces {
		if p.Kind != Empty {
			some = append(some, p)
		}
	}
	return some, err
}

func sameTokens(a, b Statement, d Dialect) bool {
	if a.Kind != SQL && a.Kind != CopyIn {
		return a.Text == b.Text
	}
	x, y := tokensOf(a.Text, d), tokensOf(b.Text, d)
	for {
		xk, xt := x()
		yk, yt := y()
		switch {
		case xk != yk || xt != yt:
			return false
		case xk == tErr:
			return a.Text == b.Text
		case xk == tEOF:
			return true
		}
	}
}

// tokensOf returns a function that returns one token of a text after the other.
func tokensOf(text string, d Dialect) func() (kind, string) {
	r := rulesOf(d)
	l := lexer{rules: r, class: &r.fine, b: []byte(text)}
	return func() (kind, string) {
		k, from, to := l.next()
		return k, text[from:to]
	}
}
