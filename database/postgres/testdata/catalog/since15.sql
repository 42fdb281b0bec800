-- What PostgreSQL 15 has brought.
CREATE TABLE t (id integer PRIMARY KEY, a integer, b integer, c integer, UNIQUE NULLS NOT DISTINCT (a, b));
CREATE UNIQUE INDEX distinct_nulls ON t (c) NULLS NOT DISTINCT;
CREATE VIEW invoker WITH (security_invoker = true) AS SELECT id FROM t;
CREATE TABLE fk (a integer, b integer, FOREIGN KEY (a, b) REFERENCES t (a, b) ON DELETE SET NULL (b));
CREATE UNLOGGED SEQUENCE quick;
CREATE PUBLICATION rows FOR TABLE t (id, a) WHERE (id > 5);
CREATE SCHEMA s;
CREATE PUBLICATION in_schema FOR TABLES IN SCHEMA s;
CREATE COLLATION icu_rules (provider = icu, locale = 'en');
