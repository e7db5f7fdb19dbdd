// A client that openapi-typescript has typed, with openapi-fetch. No value is cast.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated/openapi";

const token = process.argv[3];
const client = createClient<paths>({
  baseUrl: process.argv[2],
  headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
  querySerializer: { array: { style: "form", explode: false } },
});
const unique = Date.now().toString(36).toUpperCase();

async function users() {
  const email = `fetch.${unique}@example.com`;
  const created = await client.POST("/users", { body: { name: "Ada", email }, params: { header: { "Idempotency-Key": `fetch-${unique}` } } });
  assert.equal(created.response.status, 201);
  assert(created.data);
  const user: components["schemas"]["users"] = created.data;
  const path = { id: user.id };

  const read = await client.GET("/users/{id}", { params: { path, header: { "Clusterlite-Consistency": "linearizable" } } });
  assert.equal(read.data?.email, email);

  const list = await client.GET("/users", { params: { query: { email, "created_at[lte]": user.created_at, sort: ["-created_at", "name"], fields: ["id", "name"], limit: 5 } } });
  assert.deepEqual(list.data, [{ id: user.id, name: "Ada" }]);
  const names: string[] = list.data.map((u) => u.name);
  assert.deepEqual(names, ["Ada"]);

  const patched = await client.PATCH("/users/{id}", { params: { path, header: { "If-Match": `"${user.version}"` } }, body: { name: "Eve" } });
  assert.equal(patched.data?.name, "Eve");
  assert.equal(patched.data.version, 2);
  const stale = await client.PATCH("/users/{id}", { params: { path, header: { "If-Match": '"1"' } }, body: { name: "Eve" } });
  assert.equal(stale.response.status, 412);

  const taken = await client.POST("/users", { body: { name: "Ada", email } });
  assert.equal(taken.response.status, 409);
  assert(taken.error);
  assert.equal(taken.error.type, "https://clusterlite.dev/problems/unique-taken");
  assert.equal(taken.error.errors?.[0]?.pointer, "/email");

  const wrong = await client.PUT("/users/{id}", { params: { path }, body: { name: "", email: "x" } });
  assert.equal(wrong.response.status, 422);
  assert.deepEqual(wrong.error?.errors?.map((e) => e.pointer).sort(), ["/email", "/name"]);

  assert.equal((await client.DELETE("/users/{id}", { params: { path } })).response.status, 204);
  assert.equal((await client.GET("/users/{id}", { params: { path } })).error?.status, 404);
}

async function products() {
  const sku = `F-${unique}`;
  const body = { sku, name: "Tea", price: 4.5, tags: ["a"], size: { width: 1, height: 2 }, sold_out: false };
  const created = await client.POST("/products", { body });
  assert(created.data);
  const id = created.data.id;
  const list = await client.GET("/products", { params: { query: { "price[gte]": 4, "price[lt]": 5, "sku[in]": [sku, "X-1"], sold_out: false, count: true } } });
  assert.equal(list.data?.length, 1);
  assert.equal(list.response.headers.get("Total-Count"), "1");
  const price: number = list.data[0].price;
  assert.equal(price, 4.5);
  const patched = await client.PATCH("/products/{id}", { params: { path: { id }, header: { "If-Match": '"1"' } }, body: { tags: null, size: { width: null } } });
  assert.deepEqual([patched.data?.tags, patched.data?.size], [undefined, { height: 2 }]);
  const taken = await client.POST("/products", { body });
  assert.equal(taken.error?.errors?.[0]?.pointer, "/sku");
  assert.equal(taken.response.status, 409);
  const wrong = await client.POST("/products", { body: { ...body, price: -1 } });
  assert.equal(wrong.response.status, 422);
  assert.equal(wrong.error?.errors?.[0]?.pointer, "/price");
  assert.equal((await client.DELETE("/products/{id}", { params: { path: { id } } })).response.status, 204);
}

async function orders() {
  const number = Date.now();
  const lines: components["schemas"]["orders_line"][] = [{ sku: "TEA-001", quantity: 2 }];
  const created = await client.POST("/orders", { body: { number, status: "open", customer: null, placed_on: "2026-11-24", lines } });
  assert(created.data);
  const id = created.data.id;
  const list = await client.GET("/orders", { params: { query: { "number[gte]": number, "status[in]": ["open", "paid"], "placed_on[lte]": "2026-12-01" } } });
  assert.equal(list.data?.[0]?.lines[0].quantity, 2);
  const patched = await client.PATCH("/orders/{id}", { params: { path: { id }, header: { "If-Match": '"1"' } }, body: { status: "paid", placed_on: null } });
  assert.deepEqual([patched.data?.status, patched.data?.placed_on], ["paid", undefined]);
  const taken = await client.POST("/orders", { body: { number, status: "open", lines } });
  assert.deepEqual([taken.error?.status, taken.error?.errors?.[0]?.pointer], [409, "/number"]);
  const wrong = await client.POST("/orders", { body: { number: number + 1, status: "open", lines: [] } });
  assert.deepEqual([wrong.error?.status, wrong.error?.errors?.[0]?.pointer], [422, "/lines"]);
  assert.equal((await client.DELETE("/orders/{id}", { params: { path: { id } } })).response.status, 204);
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
