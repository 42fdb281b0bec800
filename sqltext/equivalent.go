package sqltext

import "slices"

// Equivalent reports whether two texts differ only in comments and white space. Texts that cannot
// be split are equivalent only if they are equal.
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

// significant returns the pieces that are not Empty.
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
	return slices.EqualFunc(List(a.Text, d), List(b.Text, d), func(x, y Token) bool {
		return x.Kind == y.Kind && x.Text == y.Text
	})
}
