-- Foreign data.
CREATE EXTENSION postgres_fdw;
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'h''ost', dbname 'd');
CREATE SERVER versioned TYPE 'pg' VERSION '1.0' FOREIGN DATA WRAPPER postgres_fdw;
CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'u', password 'p');
CREATE FOREIGN TABLE there (id integer OPTIONS (column_name 'the id') NOT NULL, name text COLLATE "C" DEFAULT 'x', CHECK (id > 0)) SERVER far OPTIONS (table_name 't', schema_name 's');
COMMENT ON FOREIGN TABLE there IS 'far away';
COMMENT ON SERVER far IS 'the far one';
CREATE FOREIGN DATA WRAPPER dummy OPTIONS (debug 'true');
GRANT USAGE ON FOREIGN SERVER far TO pg_monitor;
GRANT SELECT ON there TO pg_monitor;
CREATE VIEW here AS SELECT id FROM there;
GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO pg_monitor;
