package locktable

// schema is what exists before each statement. Every table has rows, so that a scan and a rewrite
// have something to do.
const schema = `
SET TimeZone = 'UTC';
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE DOMAIN plain AS text;
CREATE TYPE status AS ENUM ('new', 'paid');

CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, address plain);
CREATE TABLE orders (
	id bigint PRIMARY KEY, customer_id bigint, warehouse_id bigint, code varchar(20), note text, checked text, small int,
	total numeric(12,2), placed timestamp NOT NULL DEFAULT '2026-01-01', period tstzrange,
	CONSTRAINT orders_checked CHECK (checked IS NOT NULL),
	CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers
);
CREATE TABLE warehouses (id bigint PRIMARY KEY);
CREATE TABLE order_items (order_id bigint REFERENCES orders, item text);
CREATE TABLE drafts (id bigint, draft_id bigint NOT NULL, body text);
CREATE TABLE old_drafts (LIKE drafts);
CREATE UNLOGGED TABLE imports (id bigint);
CREATE SEQUENCE numbers;

INSERT INTO imports SELECT n FROM generate_series(1, 1000) n;
INSERT INTO customers SELECT n, 'c', 'a' FROM generate_series(1, 1000) n;
INSERT INTO warehouses SELECT n FROM generate_series(1, 1000) n;
INSERT INTO orders SELECT n, n, n, n::text, 'n', 'y', n, n, '2026-01-01', tstzrange('2026-01-01'::timestamptz + n * interval '1 h', '2026-01-01'::timestamptz + (n + 1) * interval '1 h') FROM generate_series(1, 1000) n;
INSERT INTO order_items SELECT n, 'i' FROM generate_series(1, 1000) n;
INSERT INTO drafts SELECT n, n, 'b' FROM generate_series(1, 1000) n;

CREATE INDEX orders_placed ON orders (placed);
CREATE UNIQUE INDEX orders_code_key ON orders (code);
CREATE UNIQUE INDEX drafts_id_key ON drafts (id);
CREATE UNIQUE INDEX drafts_draft_id_key ON drafts (draft_id);
ALTER TABLE orders ADD CONSTRAINT orders_total CHECK (total > 0) NOT VALID;
ALTER TABLE orders ADD CONSTRAINT orders_warehouse FOREIGN KEY (warehouse_id) REFERENCES warehouses NOT VALID;

CREATE VIEW open_orders AS SELECT id, code FROM orders;
CREATE MATERIALIZED VIEW totals AS SELECT code, count(*) FROM orders GROUP BY code;
CREATE UNIQUE INDEX totals_code_key ON totals (code);
CREATE FUNCTION notice() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER noticed BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION notice();
CREATE POLICY everything ON orders USING (true);
CREATE SCHEMA archive;

CREATE TABLE events (id bigint, at date NOT NULL, kind text) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE TABLE events_2027 (id bigint, at date NOT NULL, kind text);
CREATE TABLE events_2028 (id bigint, at date NOT NULL, kind text, CHECK (at >= '2028-01-01' AND at < '2029-01-01'));
CREATE INDEX events_id ON events (id);
CREATE INDEX events_kind ON ONLY events (kind);
CREATE INDEX events_2025_kind ON events_2025 (kind);
INSERT INTO events SELECT n, '2025-06-01', 'k' FROM generate_series(1, 1000) n;
INSERT INTO events SELECT n, '2026-06-01', 'k' FROM generate_series(1, 1000) n;
INSERT INTO events SELECT n, '2030-06-01', 'k' FROM generate_series(1, 1000) n;
INSERT INTO events_2027 SELECT n, '2027-06-01', 'k' FROM generate_series(1, 1000) n;
INSERT INTO events_2028 SELECT n, '2028-06-01', 'k' FROM generate_series(1, 1000) n;
CREATE INDEX ON events_2027 (id);
CREATE INDEX ON events_2027 (kind);
CREATE INDEX ON events_2028 (id);
CREATE INDEX ON events_2028 (kind);

-- A partition of a table with a default partition can't be detached concurrently.
CREATE TABLE logs (id bigint, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE logs_2026 PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO logs SELECT n, '2026-06-01' FROM generate_series(1, 1000) n;
`

// schema18 needs PostgreSQL 18.
const schema18 = `ALTER TABLE orders ADD CONSTRAINT orders_small NOT NULL small NOT VALID;`

// schema15 needs PostgreSQL 15.
const schema15 = `
DROP ACCESS METHOD IF EXISTS other_heap;
CREATE ACCESS METHOD other_heap TYPE TABLE HANDLER heap_tableam_handler;
`

// analyze makes the planner's choices the same everywhere.
const analyze = `ANALYZE customers, orders, warehouses, order_items, drafts, events, logs`
