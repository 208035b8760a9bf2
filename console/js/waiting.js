// The page of what waits: why, until when, and what would become of it if something were different.

import { get } from "./api.js";
import { el } from "./dom.js";
import { List } from "./list.js";
import { everyFewSeconds, followAddress, here, openPage, planLink } from "./page.js";
import { badge, when } from "./show.js";
import { learnPools, poolNamed } from "./twins.js";
import { foreseeing } from "./foresee.js";
import { whatIf } from "./whatif.js";
import { why } from "./why.js";

const ALL = "500";
const WAITING = ["queued", "granting"];

/** @type {import("./show.js").Column[]} */
const LEASES = [
  ["lease", (row) => here(["lease", row.id], row.id), "row"],
  ["team", (row) => row.tenant],
  ["pool", (row) => poolNamed(row.pool)],
  ["slots", (row) => row.slots_wanted || row.slots.length, "figure"],
  ["for", (row) => row.purpose || "–"],
  ["plan", (row) => planLink(row.plan_id)],
  ["waits for", (row) => (row.waiting ? [badge(row.waiting.binding), ` ${row.waiting.reason}`] : badge(row.state))],
  ["since", (row) => when(row.waiting?.since ?? row.asked_at)],
  ["gives up", (row) => when(row.give_up_at)],
];
/** @type {import("./show.js").Column[]} */
const JOBS = [
  ["job", (row) => here(["job", row.id], row.name || row.id), "row"],
  ["team", (row) => row.tenant],
  ["pool", (row) => poolNamed(row.pool)],
  ["waits for", (row) => (row.waiting ? `${row.waiting.reason} ${row.waiting.remedy}` : badge(row.state))],
];

openPage("waiting", async (place, main) => {
  const pools = learnPools(await get("/v1/pools"));
  const pool = { name: "pool", label: "Pool", kind: /** @type {"select"} */ ("select"), options: /** @type {[string, string][]} */ ([["", "every pool"], ...pools.map((/** @type {string} */ each) => [each, each])]) };
  const asked = (/** @type {URLSearchParams} */ query, /** @type {Record<string, string>} */ more) => new URLSearchParams([...query, ...Object.entries(more), ...place.asked()]);
  const leases = new List({
    title: "Leases that wait",
    columns: LEASES,
    none: "No lease waits.",
    size: 0,
    filters: [pool],
    pick: (rows) => rows.filter((/** @type {any} */ row) => WAITING.includes(row.state)),
    path: (query) => `/v1/leases?${asked(query, { limit: ALL })}`,
  });
  const jobs = new List({ title: "Jobs that wait", columns: JOBS, none: "No job waits.", size: 20, filters: [pool], path: (query) => `/v1/jobs?${asked(query, { state: "pending" })}` });
  const detail = el("div");
  main.replaceChildren(detail, leases.element, jobs.element, foreseeing(place, pools), whatIf(pools));
  await followAddress(detail, ([kind, id]) => (kind === "lease" || kind === "job" ? why(kind, id) : null));
  everyFewSeconds(() => Promise.all([leases.again(), jobs.again()]));
});
