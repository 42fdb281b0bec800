-- whimbrel: lock-timeout 2s
CREATE TABLE parcels (id bigint PRIMARY KEY);
