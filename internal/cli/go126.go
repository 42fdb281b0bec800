package cli

import "errors"

// asType returns the first E in err's chain, as errors.AsType of Go 1.26 does.
func asType[E error](err error) (E, bool) {
	var found E
	ok := errors.As(err, &found)
	return found, ok
}

// pointer returns a pointer to a copy of v, as new of Go 1.26 does.
func pointer[T any](v T) *T { return &v }
