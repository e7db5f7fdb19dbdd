PRAGMA user_version = 1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE _meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO _meta VALUES('caught_up','1');
INSERT INTO _meta VALUES('folded.users','1:email');
INSERT INTO _meta VALUES('last_record','20 1764000021000 ');
INSERT INTO _meta VALUES('topic','clusterlite.events');
INSERT INTO _meta VALUES('topic_id','dG9waWM');
INSERT INTO _meta VALUES('unique.users','email');
CREATE TABLE _checkpoint (
		one INTEGER PRIMARY KEY CHECK (one = 1), position INTEGER NOT NULL, log_time INTEGER NOT NULL);
INSERT INTO _checkpoint VALUES(1,21,1764000021000);
CREATE TABLE _claims (
		collection TEXT NOT NULL, claim TEXT NOT NULL, id TEXT NOT NULL,
		PRIMARY KEY (collection, claim)) WITHOUT ROWID;
INSERT INTO _claims VALUES('users','email:anj-nzuyIY7p0gaKgBKahQ','0193a1a0-0000-7000-8000-000000000001');
INSERT INTO _claims VALUES('users','email:qURptnXHyY9o2ThhPZuoqQ','0193a1a0-0000-7000-8000-000000000002');
CREATE TABLE _tombstones (
		collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
		created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
		PRIMARY KEY (collection, id)) WITHOUT ROWID;
INSERT INTO _tombstones VALUES('orders','0193a1a0-0000-7000-8000-000000000007',2,'2025-11-24T16:00:09.000Z','2025-11-24T16:00:10.000Z');
INSERT INTO _tombstones VALUES('users','0193a1a0-0000-7000-8000-000000000003',2,'2025-11-24T16:00:03.000Z','2025-11-24T16:00:06.000Z');
CREATE TABLE _keys (
		key TEXT PRIMARY KEY, position INTEGER NOT NULL, at INTEGER NOT NULL, request_hash TEXT NOT NULL,
		collection TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,
		doc TEXT) WITHOUT ROWID;
INSERT INTO _keys VALUES('key-1',2,1764000002000,'hash-of-key-1','users','0193a1a0-0000-7000-8000-000000000002',1,'created','{"id":"0193a1a0-0000-7000-8000-000000000002","version":1,"created_at":"2025-11-24T16:00:02.000Z","updated_at":"2025-11-24T16:00:02.000Z","name":"Bob","email":"Bob@Example.com"}');
CREATE TABLE _voids (
		offset INTEGER PRIMARY KEY, at INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
		event_id TEXT NOT NULL, type TEXT NOT NULL, entity_id TEXT NOT NULL, source TEXT NOT NULL);
INSERT INTO _voids VALUES(3,1764000004000,'taken','the value of email is held by 0193a1a0-0000-7000-8000-000000000002','0193a1a0-0000-7000-9000-000000000004','clusterlite.users.created','0193a1a0-0000-7000-8000-000000000004','/test');
CREATE TABLE _void_counts (reason TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO _void_counts VALUES('taken',1);
CREATE TABLE _digests (
		collection TEXT PRIMARY KEY, living INTEGER NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
INSERT INTO _digests VALUES('orders',2,X'6fd683274a86cfd35244c4d57f006206587c295caf7ea81f1ad0da0dde53ab75');
INSERT INTO _digests VALUES('users',2,X'c071727ed42cac4decfff8cba66a5c6f746e6e4fcddc87a3d1ad09b0cc038ba9');
CREATE TABLE IF NOT EXISTS "users" (
		id TEXT PRIMARY KEY, version INTEGER NOT NULL,
		created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
		doc TEXT NOT NULL, _claims TEXT NOT NULL, _folded TEXT, "email" TEXT GENERATED ALWAYS AS (doc ->> '$."email"') VIRTUAL, "_folded_email" TEXT GENERATED ALWAYS AS (coalesce(_folded ->> '$."email"', doc ->> '$."email"')) VIRTUAL, "name" TEXT GENERATED ALWAYS AS (doc ->> '$."name"') VIRTUAL) WITHOUT ROWID;
INSERT INTO users VALUES('0193a1a0-0000-7000-8000-000000000001',2,'2025-11-24T16:00:01.000Z','2025-11-24T16:00:05.000Z','{"id":"0193a1a0-0000-7000-8000-000000000001","version":2,"created_at":"2025-11-24T16:00:01.000Z","updated_at":"2025-11-24T16:00:05.000Z","name":"Ada Lovelace","email":"ada@example.org"}','email:anj-nzuyIY7p0gaKgBKahQ','{}');
INSERT INTO users VALUES('0193a1a0-0000-7000-8000-000000000002',1,'2025-11-24T16:00:02.000Z','2025-11-24T16:00:02.000Z','{"id":"0193a1a0-0000-7000-8000-000000000002","version":1,"created_at":"2025-11-24T16:00:02.000Z","updated_at":"2025-11-24T16:00:02.000Z","name":"Bob","email":"Bob@Example.com"}','email:qURptnXHyY9o2ThhPZuoqQ','{"email":"bob@example.com"}');
CREATE TABLE IF NOT EXISTS "orders" (
		id TEXT PRIMARY KEY, version INTEGER NOT NULL,
		created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
		doc TEXT NOT NULL, _claims TEXT NOT NULL, _folded TEXT) WITHOUT ROWID;
INSERT INTO orders VALUES('0193a1a0-0000-7000-8000-000000000005',12,'2025-11-24T16:00:07.000Z','2025-11-24T16:00:21.000Z','{"id":"0193a1a0-0000-7000-8000-000000000005","version":12,"created_at":"2025-11-24T16:00:07.000Z","updated_at":"2025-11-24T16:00:21.000Z","n":12}','',NULL);
INSERT INTO orders VALUES('0193a1a0-0000-7000-8000-000000000006',1,'2025-11-24T16:00:08.000Z','2025-11-24T16:00:08.000Z','{"id":"0193a1a0-0000-7000-8000-000000000006","version":1,"created_at":"2025-11-24T16:00:08.000Z","updated_at":"2025-11-24T16:00:08.000Z","lines": [1, 2.50], "note":"a } in a text"}','',NULL);
CREATE INDEX _keys_at ON _keys (at);
CREATE INDEX "users.email" ON "users" ("email", id);
CREATE INDEX "users._folded_email" ON "users" ("_folded_email", id);
CREATE INDEX "users._folded" ON "users" (id) WHERE _folded IS NULL;
COMMIT;
