package sqltext

type golden struct{ name, text string }

var postgresGoldens, sqliteGoldens, mysqlGoldens []golden
