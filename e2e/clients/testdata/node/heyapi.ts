// A client that hey-api has generated. No value is cast.
import assert from "node:assert/strict";
import { client } from "./heyapi/client.gen";
import {
  createOrders, createProducts, createUsers, deleteOrders, deleteProducts, deleteUsers, getUsers, listOrders, listProducts, listUsers,
  patchOrders, patchProducts, patchUsers, replaceUsers,
} from "./heyapi/sdk.gen";
import type { OrdersLine, Products, Users } from "./heyapi/types.gen";

// The client sends the token with the operations for which the description requires one.
client.setConfig({ baseUrl: process.argv[2], auth: process.argv[3] });
const unique = Date.now().toString(36).toUpperCase();

async function users() {
  const email = `heyapi.${unique}@example.com`;
  const created = await createUsers({ body: { name: "Ada", email }, headers: { "Idempotency-Key": `heyapi-${unique}` } });
  assert.equal(created.response?.status, 201);
  assert(created.data);
  const user: Users = created.data;
  const path = { id: user.id };
  assert.equal((await getUsers({ path, headers: { "Clusterlite-Consistency": "strong" } })).data?.email, email);

  const list = await listUsers({ query: { email, "created_at[lte]": user.created_at, sort: ["-created_at", "name"], limit: 5 } });
  assert.deepEqual(list.data?.map((u) => u.name), ["Ada"]);

  const patched = await patchUsers({ path, headers: { "If-Match": `"${user.version}"` }, body: { name: "Eve" } });
  assert.deepEqual([patched.data?.name, patched.data?.version], ["Eve", 2]);
  const stale = await patchUsers({ path, headers: { "If-Match": '"1"' }, body: { name: "Eve" } });
  assert.equal(stale.error?.status, 412);

  const taken = await createUsers({ body: { name: "Ada", email } });
  assert.deepEqual([taken.response?.status, taken.error?.errors?.[0]?.pointer], [409, "/email"]);
  const wrong = await replaceUsers({ path, body: { name: "", email: "x" } });
  assert.equal(wrong.response?.status, 422);
  assert.deepEqual(wrong.error?.errors?.map((e) => e.pointer).sort(), ["/email", "/name"]);
  assert.equal((await deleteUsers({ path })).response?.status, 204);
}

async function products() {
  const sku = `H-${unique}`;
  const body = { sku, name: "Tea", price: 4.5, tags: ["a"], size: { width: 1, height: 2 } };
  const created = await createProducts({ body });
  assert(created.data);
  const path = { id: created.data.id };
  const list = await listProducts({ query: { "price[gte]": 4, "price[lt]": 5, "sku[in]": [sku, "X-1"] } });
  const found: Products[] = list.data ?? [];
  assert.deepEqual(found.map((p) => p.price), [4.5]);
  const patched = await patchProducts({ path, headers: { "If-Match": '"1"' }, body: { tags: null, size: { width: null } } });
  assert.deepEqual([patched.data?.tags, patched.data?.size], [undefined, { height: 2 }]);
  const taken = await createProducts({ body });
  assert.deepEqual([taken.error?.status, taken.error?.errors?.[0]?.pointer], [409, "/sku"]);
  const wrong = await createProducts({ body: { ...body, price: -1 } });
  assert.deepEqual([wrong.error?.status, wrong.error?.errors?.[0]?.pointer], [422, "/price"]);
  assert.equal((await deleteProducts({ path })).response?.status, 204);
}

async function orders() {
  const number = Date.now();
  const lines: OrdersLine[] = [{ sku: "TEA-001", quantity: 2 }];
  const created = await createOrders({ body: { number, status: "open", lines } });
  assert(created.data);
  const path = { id: created.data.id };
  const list = await listOrders({ query: { "number[gte]": number, "status[in]": ["open", "paid"] } });
  assert.equal(list.data?.[0]?.lines[0].quantity, 2);
  const patched = await patchOrders({ path, headers: { "If-Match": '"1"' }, body: { status: "paid", customer: null } });
  assert.equal(patched.data?.status, "paid");
  const taken = await createOrders({ body: { number, status: "open", lines } });
  assert.deepEqual([taken.error?.status, taken.error?.errors?.[0]?.pointer], [409, "/number"]);
  const wrong = await createOrders({ body: { number: number + 1, status: "open", lines: [] } });
  assert.deepEqual([wrong.error?.status, wrong.error?.errors?.[0]?.pointer], [422, "/lines"]);
  assert.equal((await deleteOrders({ path })).response?.status, 204);
}

async function main() {
  await users();
  await products();
  await orders();
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
