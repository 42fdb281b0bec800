package whimbrel

import (
	"runtime/debug"
	"sync"
)

const modulePath = "github.com/whimbrel-db/whimbrel"

// stamp is the version that the linker sets in the binaries of a release (scripts/dist).
var stamp string

// ToolVersion returns the version of Whimbrel in this program, as the Go build recorded it:
// "v1.2.3", or "devel" for a build from a work tree. Every history entry contains it.
func ToolVersion() string { return toolVersion() }

var toolVersion = sync.OnceValue(func() string {
	if stamp != "" {
		return stamp
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	modules := append([]*debug.Module{&info.Main}, info.Deps...)
	for _, m := range modules {
		if m.Path == modulePath && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	return "devel"
})
