-- Functions, procedures, aggregates, operators, casts.
CREATE FUNCTION add(a integer, b integer DEFAULT 2) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT a + b $$;
CREATE FUNCTION add(text, text) RETURNS text LANGUAGE sql AS $_$ SELECT $1 || $2 $_$;
COMMENT ON FUNCTION add(integer, integer) IS 'plus';
CREATE FUNCTION with_out(IN a integer, OUT b integer, INOUT c text) RETURNS record LANGUAGE plpgsql AS $$ BEGIN b := a; END $$;
CREATE FUNCTION variadic_one(VARIADIC list integer[]) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION a_table() RETURNS TABLE (x integer, y text) LANGUAGE sql ROWS 10 COST 5 AS $$ SELECT 1, 'it''s' $$;
CREATE FUNCTION configured() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public SET work_mem = '1MB' AS $body$
DECLARE
    x text := $$dollar$$;
BEGIN
    PERFORM 1; -- a comment; with a semicolon
END
$body$;
CREATE FUNCTION names_nothing_that_is_there() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT a FROM not_there); END $$;
CREATE PROCEDURE doing(a integer, INOUT b text DEFAULT 'x') LANGUAGE plpgsql AS $$ BEGIN b := a; END $$;
COMMENT ON PROCEDURE doing(integer, text) IS 'does it';
CREATE FUNCTION poly(anyelement, anyarray) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION used_below() RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE TABLE circular (a integer, b integer);
CREATE FUNCTION of_circular(circular) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION makes_circular() RETURNS circular LANGUAGE sql AS 'SELECT NULL::public.circular';
ALTER TABLE circular ALTER b SET DEFAULT of_circular(NULL), ADD CONSTRAINT circle CHECK (of_circular(circular) > 0);
COMMENT ON CONSTRAINT circle ON circular IS 'round';
CREATE AGGREGATE total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0', COMBINEFUNC = int4pl, PARALLEL = SAFE);
CREATE FUNCTION step(text, text, integer) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION final(text) RETURNS integer LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE two(a text, b integer) (SFUNC = step, STYPE = text, FINALFUNC = final);
CREATE AGGREGATE everything(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '0');
CREATE AGGREGATE percent(double precision ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE AGGREGATE moving(integer) (SFUNC = int4pl, STYPE = integer, MSFUNC = int4pl, MINVFUNC = int4mi, MSTYPE = integer, SORTOP = >);
COMMENT ON AGGREGATE two(text, integer) IS 'of two';
CREATE TYPE amount AS (value numeric, unit text);
CREATE FUNCTION amount_eq(amount, amount) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.value = $2.value';
CREATE FUNCTION amount_ne(amount, amount) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.value <> $2.value';
CREATE OPERATOR === (LEFTARG = amount, RIGHTARG = amount, FUNCTION = amount_eq, COMMUTATOR = ===, NEGATOR = !==, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR !== (LEFTARG = amount, RIGHTARG = amount, FUNCTION = amount_ne, COMMUTATOR = !==, NEGATOR = ===);
CREATE FUNCTION amount_neg(amount) RETURNS amount LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE OPERATOR @- (RIGHTARG = amount, FUNCTION = amount_neg);
COMMENT ON OPERATOR === (amount, amount) IS 'same value';
CREATE FUNCTION amount_of(numeric) RETURNS amount LANGUAGE sql IMMUTABLE AS 'SELECT ROW($1, '''')::public.amount';
CREATE CAST (numeric AS amount) WITH FUNCTION amount_of(numeric) AS ASSIGNMENT;
CREATE CAST (amount AS text) WITH INOUT;
COMMENT ON CAST (numeric AS amount) IS 'without unit';
CREATE TABLE uses_operator (a amount, CHECK (a === a));
CREATE VIEW uses_more AS SELECT total(1), '(1,)'::amount === '(2,)'::amount AS eq, 1.5::numeric::amount AS am;
CREATE LANGUAGE mine HANDLER plpgsql_call_handler INLINE plpgsql_inline_handler VALIDATOR plpgsql_validator;
CREATE TRUSTED LANGUAGE "Mine too" HANDLER plpgsql_call_handler;
COMMENT ON LANGUAGE mine IS 'mine';
GRANT USAGE ON LANGUAGE "Mine too" TO pg_monitor;
CREATE TRANSFORM FOR integer LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal));
