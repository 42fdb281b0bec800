//go:build !unix

package localserver

import (
	"context"
	"errors"
)

const keepFolder, runServer = "", ""

var errNoUnix = errors.New("a local server needs a Unix system")

type guarded struct{}

func guard(string, string, ...string) (*guarded, error) { return nil, errNoUnix }

func (*guarded) end() {}

func (*guarded) until(context.Context, func() bool) error { return errNoUnix }

func (*Kit) tool(context.Context, string, string, ...string) error { return errNoUnix }

func makeFolder() (string, error) { return "", errNoUnix }
