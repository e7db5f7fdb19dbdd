// Runs the conformance suite of the Durable Streams protocol, as it is published, without the tests
// that conformance.json excludes.
import { readFileSync } from "node:fs";
import { afterAll, beforeEach, expect } from "vitest";
import { runConformanceTests } from "@durable-streams/server-conformance-tests";

const groups = JSON.parse(readFileSync(new URL("conformance.json", import.meta.url)));
const reasons = new Map(groups.flatMap(({ reason, tests }) => tests.map((name) => [name, reason])));
const used = new Set();
let run = 0;

beforeEach(({ task, skip }) => {
  // An entry is the name of a test, or of a group with all its tests: "group > test".
  for (let name = "", of = path(task); of.length > 0; ) {
    name += (name && " > ") + of.shift();
    if (reasons.has(name)) {
      used.add(name);
      skip(reasons.get(name));
    }
  }
  run++;
});

function path(task) {
  const names = [];
  for (let t = task; t; t = t.suite) names.unshift(t.name);
  return names;
}

afterAll(() => {
  expect([...reasons.keys()].filter((name) => !used.has(name)), "excluded names without a test").toEqual([]);
  expect(run, "tests that ran").toBeGreaterThan(100);
});

runConformanceTests({ baseUrl: process.env.STREAMS, longPollTimeoutMs: 20_000 });
