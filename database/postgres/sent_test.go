package postgres_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// senders are the functions that may send something to the server besides sendMessage, which
// pins the search path: they send scripts, or look up nothing.
var senders = map[string]string{
	"sendMessage":        "pins the search path",
	"prepared.send":      "is called by sendMessage",
	"stream.send":        "sends a script",
	"run.ExecAnnounced":  "calls Exec of the run, for a statement of a script",
	"wire.Write":         "passes on what is sent",
	"conn.copyIn":        "sends a script",
	"conn.queryRows":     "sends the caller's query",
	"conn.inside":        "runs a function of the caller's",
	"conn.describe":      "lets the server parse a statement of a script",
	"Database.throttled": "sends the caller's query",
	"beatOnce":           "sends a comment",
	"ownConn.ping":       "sends a comment",
	"handOver":           "sends a comment",
	"validatePinned":     "pins the search path itself",
	"Driver.Create":      "sends only CREATE DATABASE, which looks up no name in a schema",
	"Driver.Drop":        "sends only DROP DATABASE, which looks up no name in a schema",
}

// Own queries are sent in only one way, which pins the search path. A new one must be added here
// with the reason why it needs no pin.
func TestOwnQueriesArePinned(t *testing.T) {
	t.Parallel()
	asks := map[string]bool{
		"StartPipeline": true, "Exec": true, "ExecParams": true, "ExecPrepared": true, "ExecStatement": true, "ExecBatch": true, "CopyFrom": true, "CopyTo": true, "Query": true, "QueryRow": true,
		"Prepare": true, "SendBatch": true, "Begin": true, "BeginTx": true, "SendQueryParams": true, "SendQueryPrepared": true, "SendQueryStatement": true, "SendPrepare": true, "Ping": true,
		"Frontend": true, "SendBytes": true, "Hijack": true, "Write": true,
	}
	names, err := filepath.Glob("*.go")
	must(t, err)
	seen := map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		must(t, err)
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			calls := map[ast.Node]bool{}
			ast.Inspect(fn, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok {
					calls[call.Fun] = true
				}
				sel, ok := n.(*ast.SelectorExpr)
				// Query is a field of database.Holder, too
				if ok && asks[sel.Sel.Name] && (calls[sel] || sel.Sel.Name != "Query") {
					if name := nameOf(fn); senders[name] == "" {
						t.Errorf("%s calls %s: send a query of Whimbrel's own with pipeline", name, sel.Sel.Name)
					} else {
						seen[name] = true
					}
				}
				return true
			})
		}
	}
	for name, why := range senders {
		if why != "" && !seen[name] {
			t.Errorf("%s sends nothing any more: leave it out", name)
		}
	}
}

// nameOf returns a function's name, qualified by its receiver's type.
func nameOf(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	typ := fn.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	return typ.(*ast.Ident).Name + "." + fn.Name.Name
}
