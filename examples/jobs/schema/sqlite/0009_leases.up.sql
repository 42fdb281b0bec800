-- One row for each job that may work at the same time: a slot of a queue, or of all queues ('*').
-- A slot is free once its lease has ended.
CREATE TABLE job_leases (
	queue  text    NOT NULL,
	slot   integer NOT NULL,
	token  text,                      -- of the job that works, for its renewals
	job_id integer,
	client text,                      -- the River client that works on it
	ends   real    NOT NULL DEFAULT 0, -- seconds since 1970
	PRIMARY KEY (queue, slot)
) WITHOUT ROWID;
CREATE INDEX job_leases_token ON job_leases (token) WHERE token IS NOT NULL;
