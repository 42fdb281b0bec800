package cli

import "errors"

// asType returns the first E in err's chain, as errors.AsType of Go 1.26 does.
func asType[E error](err error) (E, bool) {
	var found E
	ok := errors.As(err, &found)
	return found, ok
}
