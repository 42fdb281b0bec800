// Package inspect looks at what migrations make of a database: it proves a set on a
// scratch database, and compares a database with what its history says it should be.
//
// A scratch database is an empty one that may be filled and emptied at will. Nothing
// is ever changed in the database that is looked at.
//
// # Examples
//
//   - Prove that every down script undoes its up script: [Verify]
//   - Detect and accept drift: [Drift]
//   - Compare a database with a schema in SQL: [Compare]
//   - Write one migration from several: [Minimal]
package inspect
