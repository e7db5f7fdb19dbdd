-- Orders by day: how many were placed on a day, and what they are worth.

-- Totals are in cents. Fractions of a cent would add up to other sums in another order.
CREATE TABLE days (
  day    TEXT PRIMARY KEY,
  orders INTEGER NOT NULL,
  total  INTEGER NOT NULL
) WITHOUT ROWID;

-- How many events each collection had on a day.
CREATE TABLE activity (
  day        TEXT NOT NULL,
  collection TEXT NOT NULL,
  created    INTEGER NOT NULL,
  updated    INTEGER NOT NULL,
  deleted    INTEGER NOT NULL,
  PRIMARY KEY (day, collection)
) WITHOUT ROWID;

-- on: orders.updated, orders.deleted
UPDATE days SET
  orders = orders - 1,
  total  = total - (SELECT coalesce(sum((value ->> 'quantity') * CAST(round(100 * coalesce(value ->> 'price', 0)) AS INTEGER)), 0)
                    FROM json_each(:previous, '$.lines'))
WHERE day = coalesce(:previous ->> 'placed_on', 'unknown');

-- on: orders.created, orders.updated
INSERT INTO days
SELECT coalesce(:document ->> 'placed_on', 'unknown'), 1,
       coalesce(sum((value ->> 'quantity') * CAST(round(100 * coalesce(value ->> 'price', 0)) AS INTEGER)), 0)
FROM json_each(:document, '$.lines') WHERE true
ON CONFLICT (day) DO UPDATE SET orders = orders + excluded.orders, total = total + excluded.total;

-- on: orders.updated, orders.deleted
DELETE FROM days WHERE orders = 0;

-- on: *
INSERT INTO activity VALUES (date(:time), :collection, :type = 'created', :type = 'updated', :type = 'deleted')
ON CONFLICT DO UPDATE SET
  created = created + excluded.created,
  updated = updated + excluded.updated,
  deleted = deleted + excluded.deleted;

-- query: months(since text = '0000')
SELECT substr(day, 1, 7) AS month, sum(orders) AS orders, sum(total) AS total
FROM days WHERE day >= :since GROUP BY month ORDER BY month;
