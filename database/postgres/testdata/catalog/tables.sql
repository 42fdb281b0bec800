-- Columns: types, defaults, collations, storage; tables: options, persistence, identity of replicas.
CREATE SCHEMA shop;
COMMENT ON SCHEMA shop IS 'what is sold';
CREATE TABLE plain (a integer, b text, c boolean);
CREATE TABLE empty ();
CREATE TABLE shop.types (
    i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, n numeric, n2 numeric(10, 2), t text, v varchar, v10 varchar(10),
    c char, c5 char(5), nm name, b bytea, d date, tm time, tz timetz(3), ts timestamp(0), tsz timestamptz, iv interval, iv2 interval day to second(2),
    bo boolean, bt bit(3), vb bit varying(7), u uuid, j json, jb jsonb, x xml, ip inet, ci cidr, m macaddr, p point, r int4range,
    ai integer[], at text[][], tv tsvector, tq tsquery, o oid, rc regclass, mo money
);
CREATE TABLE shop.defaults (
    id integer PRIMARY KEY,
    one integer DEFAULT 1 NOT NULL,
    text_1 text DEFAULT 'it''s',
    back text DEFAULT E'a\\b\nc',
    at timestamptz DEFAULT now(),
    list integer[] DEFAULT '{1,2}'::integer[],
    doc jsonb DEFAULT '{"a": 1}',
    neg integer DEFAULT -1,
    expr integer DEFAULT (1 + 2) * 3,
    up text GENERATED ALWAYS AS (upper(text_1)) STORED,
    nul integer DEFAULT NULL
);
COMMENT ON TABLE shop.defaults IS 'It''s "odd" \ 100%
second line';
COMMENT ON COLUMN shop.defaults.one IS 'the one';
CREATE TABLE collated (a text COLLATE "C", b varchar(20) COLLATE "POSIX" DEFAULT 'x' NOT NULL, c text);
CREATE TABLE stored (a text, b text, c bytea, d integer);
ALTER TABLE stored ALTER a SET STORAGE EXTERNAL, ALTER b SET STORAGE MAIN, ALTER b SET STATISTICS 500, ALTER d SET (n_distinct = -0.5, n_distinct_inherited = 7);
CREATE UNLOGGED TABLE quick (a integer);
CREATE TABLE optioned (a integer, t text) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = off, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE dropped (a integer, gone text, b integer DEFAULT 3, gone2 date);
ALTER TABLE dropped DROP gone, DROP gone2, ADD c text;
CREATE TABLE full_identity (a integer);
ALTER TABLE full_identity REPLICA IDENTITY FULL;
CREATE TABLE no_identity (a integer);
ALTER TABLE no_identity REPLICA IDENTITY NOTHING;
CREATE TABLE index_identity (a integer NOT NULL, b integer);
CREATE UNIQUE INDEX index_identity_a ON index_identity (a);
ALTER TABLE index_identity REPLICA IDENTITY USING INDEX index_identity_a;
CREATE TABLE clustered (a integer CONSTRAINT clustered_pk PRIMARY KEY, b integer);
CREATE INDEX clustered_b ON clustered (b);
ALTER TABLE clustered CLUSTER ON clustered_b;
CREATE TABLE key_identity (a integer NOT NULL, b integer NOT NULL, CONSTRAINT key_identity_u UNIQUE (a, b));
ALTER TABLE key_identity REPLICA IDENTITY USING INDEX key_identity_u;
CREATE TABLE renamed_before (old_name integer NOT NULL, PRIMARY KEY (old_name));
ALTER TABLE renamed_before RENAME TO renamed;
ALTER TABLE renamed RENAME old_name TO new_name;
CREATE TYPE shop.employee AS (name text, salary numeric, boss text);
CREATE TABLE shop.employees OF shop.employee (PRIMARY KEY (name), salary WITH OPTIONS DEFAULT 1000 NOT NULL);
