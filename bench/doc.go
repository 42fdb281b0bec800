// Package bench measures what migrating costs: whole processes, side by side with the database's own client
// and with other tools on the same work (compare_test.go, started by run.sh), and the check of an
// application that starts (check_test.go). Nothing in it asserts a time.
package bench
