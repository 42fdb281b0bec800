// Package bench measures the cost of migrating: whole processes beside the database's own client
// and other tools on the same work (compare_test.go, started by run.sh), an application's latency
// while its table is migrated (locks_test.go), and the check at an application's start
// (check_test.go). It asserts no times.
package bench
