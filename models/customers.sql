-- Orders with the names of their customers, and customers with their orders.

CREATE TABLE _users (
  id    TEXT PRIMARY KEY,
  name  TEXT NOT NULL,
  email TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE _orders (
  id       TEXT PRIMARY KEY,
  number   INTEGER NOT NULL,
  customer TEXT,
  status   TEXT NOT NULL,
  total    INTEGER NOT NULL -- in cents
) WITHOUT ROWID;

CREATE INDEX _orders_by_customer ON _orders (customer);

-- An order may name a customer that does not exist, or no longer.
CREATE VIEW orders AS
SELECT o.id, o.number, o.status, o.total, o.customer, u.name AS customer_name
FROM _orders o LEFT JOIN _users u ON u.id = o.customer;

CREATE VIEW customers AS
SELECT u.id, u.name, u.email, CAST(count(o.id) AS INTEGER) AS orders, CAST(coalesce(sum(o.total), 0) AS INTEGER) AS total
FROM _users u LEFT JOIN _orders o ON o.customer = u.id
GROUP BY u.id;

-- on: users.created, users.updated
INSERT OR REPLACE INTO _users VALUES (:id, :document ->> 'name', :document ->> 'email');

-- on: users.deleted
DELETE FROM _users WHERE id = :id;

-- on: orders.created, orders.updated
INSERT OR REPLACE INTO _orders
SELECT :id, :document ->> 'number', :document ->> 'customer', :document ->> 'status',
       coalesce(sum((value ->> 'quantity') * CAST(round(100 * coalesce(value ->> 'price', 0)) AS INTEGER)), 0)
FROM json_each(:document, '$.lines');

-- on: orders.deleted
DELETE FROM _orders WHERE id = :id;

-- query: best(status text = 'paid', least integer = 1)
SELECT u.id, u.name, count(*) AS orders, sum(o.total) AS total
FROM _orders o JOIN _users u ON u.id = o.customer
WHERE o.status = :status
GROUP BY u.id HAVING count(*) >= :least
ORDER BY total DESC, u.id;
