-- One row for each job that may work at the same time: a slot of a queue, or of all queues ('*').
-- A slot is free once its lease has ended.
CREATE TABLE jobs.leases (
	queue  text        NOT NULL,
	slot   integer     NOT NULL,
	token  text,                                   -- of the job that works, for its renewals
	job_id bigint,
	client text,                                   -- the River client that works on it
	ends   timestamptz NOT NULL DEFAULT '-infinity',
	PRIMARY KEY (queue, slot)
);
CREATE INDEX leases_token ON jobs.leases (token) WHERE token IS NOT NULL;
