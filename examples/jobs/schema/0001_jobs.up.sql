CREATE TABLE jobs (
	id    integer PRIMARY KEY,
	queue text NOT NULL DEFAULT 'default',
	args  text NOT NULL
);
