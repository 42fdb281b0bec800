-- What needs itself by way of others.
CREATE DOMAIN d AS integer;
CREATE FUNCTION ok(d) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
ALTER DOMAIN d ADD CONSTRAINT circle CHECK (ok(VALUE));
CREATE VIEW cv AS SELECT 1 AS a;
CREATE FUNCTION of_cv() RETURNS SETOF cv LANGUAGE sql AS 'SELECT 2';
CREATE OR REPLACE VIEW cv AS SELECT a FROM of_cv();
COMMENT ON COLUMN cv.a IS 'col';
CREATE TABLE mvbase (a integer primary key, b text);
CREATE MATERIALIZED VIEW mv1 AS SELECT a, count(*) AS n FROM mvbase GROUP BY a;
CREATE FUNCTION f_of_mv() RETURNS SETOF mv1 LANGUAGE sql AS 'SELECT * FROM public.mv1';
CREATE MATERIALIZED VIEW mv2 AS SELECT * FROM f_of_mv();
CREATE TABLE gen (a integer, b integer GENERATED ALWAYS AS (a + 1) STORED);
CREATE FUNCTION imm(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE TABLE gen2 (a integer, b integer GENERATED ALWAYS AS (imm(a)) STORED, CHECK (imm(b) > 0));
CREATE INDEX gi ON gen2 (imm(a)) WHERE imm(a) > 2;
