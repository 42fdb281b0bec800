// Package locktable measures which statement takes which lock and whom it blocks, for
// docs/locks.md. Its tests run every statement on every server, compare the result with testdata,
// and compare the page with testdata. To measure again and write both:
//
//	go test ./internal/locktable -update
//
// Without all servers, only the facts of those that run are compared.
package locktable
