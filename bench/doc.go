// Package bench measures the cost of migrating: whole processes beside the database's own client
// and other tools on the same work (compare_test.go, started by run.sh), and the check at an
// application's start (check_test.go). It asserts no times.
package bench
