-- The users as they are. The fault run compares it with what its clients wrote.

CREATE TABLE users (
  id      TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  email   TEXT NOT NULL,
  name    TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX _users_by_email ON users (email);

-- on: users.created, users.updated
INSERT OR REPLACE INTO users VALUES (:id, :version, :document ->> 'email', :document ->> 'name');

-- on: users.deleted
DELETE FROM users WHERE id = :id;
