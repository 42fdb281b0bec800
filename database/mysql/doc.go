// Package mysql is the driver for MySQL and MariaDB, on go-sql-driver/mysql. It is tried out on MariaDB 10.11, and written for
// MySQL 8, too.
package mysql
