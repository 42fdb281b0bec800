-- Extensions: their members are left out, what uses them is not.
CREATE SCHEMA ext;
CREATE EXTENSION citext SCHEMA ext;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore SCHEMA ext;
CREATE EXTENSION btree_gist;
COMMENT ON EXTENSION pg_trgm IS 'trigrams';
CREATE TABLE uses_them (id integer, e ext.citext DEFAULT 'x', h ext.hstore, r tsrange, EXCLUDE USING gist (id WITH =, r WITH &&), CHECK (e <> 'y'));
CREATE INDEX trigrams ON uses_them USING gin ((e::text) gin_trgm_ops);
CREATE INDEX by_key ON uses_them ((h OPERATOR(ext.->) 'k'));
CREATE VIEW on_them AS SELECT e, h OPERATOR(ext.->) 'a' AS a FROM uses_them WHERE e OPERATOR(ext.=) 'b';
CREATE FUNCTION with_them(ext.citext) RETURNS ext.hstore LANGUAGE sql AS 'SELECT NULL::ext.hstore';
CREATE DOMAIN email AS ext.citext;
-- What was granted on members since, and on what is the server's own.
GRANT EXECUTE ON FUNCTION ext.citext_eq(ext.citext, ext.citext) TO pg_monitor;
REVOKE ALL ON FUNCTION ext.citext_ne(ext.citext, ext.citext) FROM PUBLIC;
REVOKE USAGE ON TYPE ext.hstore FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO pg_monitor;
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC;
GRANT SELECT ON pg_catalog.pg_authid TO pg_monitor;
GRANT SELECT (rolname) ON pg_catalog.pg_authid TO pg_signal_backend;
ALTER FUNCTION with_them(ext.citext) DEPENDS ON EXTENSION citext;
ALTER INDEX by_key DEPENDS ON EXTENSION hstore;
