-- What PostgreSQL 16 has brought.
CREATE TABLE t (a text STORAGE EXTERNAL, b numeric DEFAULT 0x1F);
CREATE COLLATION ruled (provider = icu, locale = 'und', rules = '&a < b');
CREATE VIEW j AS SELECT JSON_ARRAY(1, 2) AS a, '{}' IS JSON OBJECT AS b, any_value(x) AS c FROM (VALUES (1)) AS v (x);
