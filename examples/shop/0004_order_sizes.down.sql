DROP VIEW order_sizes;
