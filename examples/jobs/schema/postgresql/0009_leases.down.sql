DROP TABLE jobs.leases;
