-- What PostgreSQL 14 has brought.
CREATE TABLE t (id integer PRIMARY KEY, v text COMPRESSION pglz);
CREATE FUNCTION atomic(a integer) RETURNS integer LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (a, 'it''s; here'); SELECT id FROM t WHERE id = a; END;
CREATE FUNCTION expression(a integer) RETURNS integer LANGUAGE sql RETURN a + 1;
CREATE PROCEDURE atomic_proc(a integer, OUT b integer) LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM t; END;
COMMENT ON PROCEDURE atomic_proc(integer) IS 'out';
CREATE VIEW over_atomic AS SELECT atomic(1) AS a;
CREATE FUNCTION over_view() RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT a FROM over_atomic; END;
CREATE TYPE spans AS RANGE (SUBTYPE = float8, MULTIRANGE_TYPE_NAME = many_spans);
CREATE TYPE stretches AS RANGE (SUBTYPE = date);
CREATE TABLE multi (m many_spans, s stretches, i int4multirange);
CREATE STATISTICS on_expression ON (lower(v)), id FROM t;
CREATE FUNCTION sub(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1['a'];
