-- What PostgreSQL 17 has brought.
CREATE TABLE parted (id bigint GENERATED ALWAYS AS IDENTITY, k integer) PARTITION BY LIST (k);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
CREATE TABLE excl (a integer, r int4range, EXCLUDE USING gist (r WITH &&));
GRANT MAINTAIN ON excl TO pg_monitor;
CREATE VIEW merged AS SELECT * FROM JSON_TABLE('[1]', '$[*]' COLUMNS (a integer PATH '$'));
CREATE COLLATION built (provider = builtin, locale = 'C.UTF-8');
CREATE TABLE b (t text COLLATE built);
