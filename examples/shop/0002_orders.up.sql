CREATE TABLE orders (
	id          integer PRIMARY KEY,
	customer_id integer NOT NULL REFERENCES customers (id),
	placed_at   timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE order_lines (
	order_id integer NOT NULL REFERENCES orders (id),
	line     integer NOT NULL,
	product  text NOT NULL,
	quantity integer NOT NULL CHECK (quantity > 0),
	PRIMARY KEY (order_id, line)
);
