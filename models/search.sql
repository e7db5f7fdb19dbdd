-- Full-text search over the names and addresses of users.

CREATE TABLE _users (
  key INTEGER PRIMARY KEY, -- the row of the index
  id  TEXT NOT NULL UNIQUE
);

CREATE VIRTUAL TABLE _texts USING fts5 (name, email, tokenize = 'unicode61 remove_diacritics 2');

-- on: users.created
INSERT INTO _users (id) VALUES (:id);
INSERT INTO _texts (rowid, name, email)
SELECT key, :document ->> 'name', :document ->> 'email' FROM _users WHERE id = :id;

-- on: users.updated
UPDATE _texts SET name = :document ->> 'name', email = :document ->> 'email'
WHERE rowid = (SELECT key FROM _users WHERE id = :id);

-- on: users.deleted
DELETE FROM _texts WHERE rowid = (SELECT key FROM _users WHERE id = :id);
DELETE FROM _users WHERE id = :id;

-- query: users(q text)
SELECT u.id, highlight(_texts, 0, '<mark>', '</mark>') AS name, snippet(_texts, 1, '<mark>', '</mark>', '…', 8) AS email, -bm25(_texts, 10.0, 1.0) AS score
FROM _texts JOIN _users u ON u.key = _texts.rowid
WHERE _texts MATCH :q
ORDER BY score DESC, u.id;
