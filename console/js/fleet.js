// The fleet page: pools, nodes, leases and jobs as they are now, asked again every few seconds while the page is looked at.

import { get } from "./api.js";
import { byId, el, problem, setText } from "./dom.js";
import { clock, moment } from "./format.js";
import { know, showBar } from "./page.js";
import { learnPools, poolNamed } from "./twins.js";

const AGAIN_MS = 5000;
const SHOWN = 100;

/** @typedef {[string, (row: any) => any, string?]} Column */

/** @type {Column[]} */
const POOLS = [
  ["pool", (pool) => el("span", {}, poolNamed(pool.name), pool.default ? " (default)" : "")],
  ["provider", (pool) => pool.provider],
  ["free", (pool) => (pool.reachable ? pool.slots_free : "–"), "figure"],
  ["slots", (pool) => (pool.reachable ? pool.slots_total : "–"), "figure"],
  ["of", (pool) => Object.keys(pool.accelerators).join(", ") || pool.slot_kind],
  ["state", (pool) => (pool.reachable ? "answers" : "does not answer")],
  ["note", (pool) => pool.note],
];
/** @type {Column[]} */
const NODES = [
  ["node", (node) => node.name],
  ["pool", (node) => poolNamed(node.pool)],
  ["health", (node) => node.health],
  ["accelerators", (node) => (node.accelerators ? `${node.accelerators_ok} of ${node.accelerators} ${node.accelerator}` : `${node.cores} cores`)],
  ["why", (node) => node.reason],
  ["heard of", (node) => (node.heartbeat_at ? clock(node.heartbeat_at) : "never")],
];
/** @type {Column[]} */
const LEASES = [
  ["lease", (lease) => lease.id],
  ["team", (lease) => lease.tenant],
  ["pool", (lease) => poolNamed(lease.pool)],
  ["slots", (lease) => `${lease.slots.length} ${lease.accelerator || lease.slot_kind}`],
  ["state", (lease) => lease.state],
  ["for", (lease) => lease.purpose],
  ["until", (lease) => moment(lease.expires_at)],
];
/** @type {Column[]} */
const JOBS = [
  ["job", (job) => job.name],
  ["id", (job) => job.id],
  ["team", (job) => job.tenant],
  ["pool", (job) => poolNamed(job.pool)],
  ["state", (job) => job.state + (job.percent && job.state === "running" ? ` ${Math.round(job.percent)} %` : "")],
  ["what it waits for, or why it failed", (job) => words(job.waiting ?? job.failure)],
];

/** @param {{reason: string, remedy: string} | null | undefined} told */
const words = (told) => (told ? `${told.reason} ${told.remedy}`.trim() : "");

/** Ask who is signed in; without a session the console's own page asks for the key, and leads back here. */
async function start() {
  showBar("fleet");
  try {
    const me = await get("/v1/me");
    know("fleet", me);
  } catch (error) {
    if (error.status === 401) return signIn();
    byId("trouble").replaceChildren(problem(error));
  }
  await show();
}

const signIn = () => location.replace("./#/fleet");

/** Ask for everything and draw it; one question at a time, and none while nobody looks. */
async function show() {
  try {
    if (!document.hidden) await draw();
  } catch (error) {
    if (error.status === 401) return signIn();
    byId("trouble").replaceChildren(problem(error));
  }
  byId("main").removeAttribute("aria-busy");
  setTimeout(show, AGAIN_MS);
}

async function draw() {
  const asked = ["/v1/pools", `/v1/nodes?limit=${SHOWN}`, `/v1/leases?limit=${SHOWN}`, `/v1/jobs?limit=${SHOWN}`];
  const [pools, nodes, leases, jobs] = await Promise.all(asked.map(get));
  byId("trouble").replaceChildren();
  learnPools(pools);
  table("pools", POOLS, pools);
  table("nodes", NODES, nodes, "no-nodes");
  table("leases", LEASES, leases, "no-leases");
  table("jobs", JOBS, jobs, "no-jobs");
  setText(byId("seen"), `As of ${new Date().toLocaleTimeString()}; the newest ${SHOWN} of each are shown.`);
}

/** @param {string} id @param {Column[]} columns @param {any[]} rows @param {string} [none] what is shown instead of an empty table */
function table(id, columns, rows, none) {
  if (none) byId(none).hidden = rows.length > 0;
  byId(id).hidden = rows.length === 0;
  const head = el("thead", {}, el("tr", {}, ...columns.map(([name, , kind]) => el(kind ? `th.${kind}` : "th", { scope: "col" }, name))));
  const cells = (/** @type {any} */ row) => columns.map(([, value, kind]) => el(kind ? `td.${kind}` : "td", {}, value(row)));
  byId(id).replaceChildren(head, el("tbody", {}, ...rows.map((row) => el("tr", {}, ...cells(row)))));
}

start();
