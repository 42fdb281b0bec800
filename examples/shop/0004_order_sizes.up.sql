-- A semicolon; in a comment is no end of a statement.
CREATE VIEW order_sizes AS
SELECT o.id, o.customer_id, count(*) AS lines, sum(l.quantity) AS pieces
FROM orders o
JOIN order_lines l ON l.order_id = o.id
GROUP BY o.id, o.customer_id;
