// Follows the change feed with the client of the Durable Streams protocol, as it is published.
import assert from "node:assert/strict";
import { stream } from "@durable-streams/client";

const store = process.argv[2];
const url = store + "/users/changes";
const unique = Date.now().toString(36);
let made = 0;

async function create() {
  const email = `changes.${unique}.${made++}@example.com`;
  const r = await fetch(store + "/users", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name: "Ada", email }) });
  assert.equal(r.status, 201);
  return (await r.json()).id;
}

const ids = [await create(), await create()];
// With live: false, the client sends one request, whose response may end before the tail.
async function catchUp(offset) {
  const changes = [];
  for (;;) {
    const response = await stream({ url, offset, live: false, json: true });
    changes.push(...(await response.json()));
    offset = response.offset;
    if (response.upToDate) return { changes, offset };
  }
}

const first = await catchUp("-1");
assert.deepEqual(first.changes.map((c) => c.subject).filter((id) => ids.includes(id)), ids, `of ${first.changes.length} changes up to ${first.offset}`);

for (const live of ["long-poll", "sse"]) {
  const got = [];
  let offset = first.offset;
  // The second round goes on where the first stopped, without a gap or a repeat.
  for (let round = 1; round <= 2; round++) {
    const response = await stream({ url, offset, live, json: true });
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${live}: got ${got.length} changes`)), 30_000);
      const unsubscribe = response.subscribeJson(async (batch) => {
        got.push(...batch.items.map((c) => c.subject));
        offset = batch.offset;
        if (got.length < 3 * round) return;
        clearTimeout(timer);
        unsubscribe();
        resolve();
      });
      create().then(create).then(create).catch(reject);
    });
    response.cancel();
  }
  const after = await catchUp(first.offset);
  assert.deepEqual(got, after.changes.map((c) => c.subject).slice(0, got.length));
}
process.exit(0);
