// Package inspect tries migrations out: it proves a set on a scratch database, and compares a
// database with the schema that its history describes.
//
// A scratch database is an empty one that inspect may fill and empty at will. Inspect never changes
// the database that it inspects.
//
// # Examples
//
//   - Prove that every down script undoes its up script: [Verify]
//   - Detect and accept drift: [Drift]
//   - Compare a database with a schema in SQL: [Compare]
//   - Write one migration from several: [Minimal]
//   - Check that two sets make the same schema: [Same]
package inspect
