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
