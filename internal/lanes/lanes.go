// Package lanes executes backfills: it claims lanes, executes their batches, and decides how large
// the next batch is, when to wait, and what a failure means.
package lanes
