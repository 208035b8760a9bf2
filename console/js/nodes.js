// The page of nodes: their health, how reliable they are, and what happened to each.

import { get, path } from "./api.js";
import { el } from "./dom.js";
import { control } from "./form.js";
import { List } from "./list.js";
import { everyFewSeconds, followAddress, here, openPage, planLink } from "./page.js";
import { badge, facts, figure, opened, part, tried, when, wide } from "./show.js";
import { learnPools, poolNamed } from "./twins.js";

/** @typedef {import("./show.js").Column} Column */

const HEALTH = ["healthy", "suspect", "draining", "repairing", "retired"];
/** @type {Column[]} */
const NODES = [
  ["node", (row) => here([row.pool, row.name], row.name), "row"],
  ["pool", (row) => poolNamed(row.pool)],
  ["health", (row) => badge(row.health)],
  ["since", (row) => when(row.health_since)],
  ["accelerators", (row) => (row.accelerators ? `${row.accelerators_ok} of ${row.accelerators} ${row.accelerator}` : "none")],
  ["cores", (row) => row.cores, "figure"],
  ["why", (row) => row.reason],
  ["heard of", (row) => when(row.heartbeat_at)],
];
/** @type {Column[]} */
const INCIDENTS = [
  ["incident", (row) => row.id, "row"],
  ["code", (row) => el("code", {}, row.code)],
  ["severity", (row) => row.severity],
  ["why", (row) => row.reason],
  ["plan", (row) => planLink(row.plan_id)],
  ["opened", (row) => when(row.opened_at)],
  ["closed", (row) => (row.closed_at ? when(row.closed_at) : "open")],
];
/** @type {Column[]} */
const EVENTS = [
  ["at", (row) => when(row.at)],
  ["code", (row) => el("code", {}, row.code)],
  ["accelerator", (row) => row.accelerator ?? "–", "figure"],
  ["severity", (row) => row.severity],
  ["seen", (row) => (row.recovered ? "It is over. " : "") + row.words],
];
/** @type {Column[]} */
const MOVES = [
  ["at", (row) => when(row.at)],
  ["from", (row) => badge(row.was)],
  ["to", (row) => badge(row.now)],
  ["by", (row) => row.trigger.replaceAll("_", " ")],
  ["why", (row) => row.reason],
  ["who", (row) => row.actor || "–"],
];
/** @type {Column[]} */
const GAUGES = [
  ["index", (row) => row.index, "row"],
  ["name", (row) => row.name],
  ["state", (row) => badge(row.state)],
  ["busy", (row) => figure(row.busy_percent, "%"), "figure"],
  ["memory", (row) => (row.memory_total_gib === null ? "–" : `${figure(row.memory_used_gib)} of ${figure(row.memory_total_gib, "GiB")}`), "figure"],
  ["temperature", (row) => figure(row.temperature_celsius, "°C"), "figure"],
  ["power", (row) => figure(row.power_watts, "W"), "figure"],
];

openPage(
  "nodes",
  async (place, main) => {
    const pools = learnPools(await get("/v1/pools"));
    const every = /** @type {[string, string][]} */ ([["", "every pool"], ...pools.map((/** @type {string} */ each) => [each, each])]);
    const nodes = new List({
      title: "All nodes",
      columns: NODES,
      none: "No node reports yet: start “lineshaft node-agent” on one.",
      size: 50,
      filters: [
        { name: "pool", label: "Pool", kind: "select", options: every },
        { name: "health", label: "Health", kind: "select", options: [["", "any"], ...HEALTH.map((each) => /** @type {[string, string]} */ ([each, each]))] },
      ],
      path: (query) => `/v1/nodes?${query}`,
    });
    const detail = el("div");
    main.replaceChildren(detail, nodes.element, reliability(every));
    await followAddress(detail, ([pool, name]) => (pool && name ? history(pool, name) : null));
    everyFewSeconds(() => nodes.again());
  },
  { teams: "none" },
);

/** @param {string} pool @param {string} name */
async function history(pool, name) {
  const [{ node, incidents, events, moves }, figures] = await Promise.all([get(path`/v1/nodes/${pool}/${name}`), get(path`/v1/reliability?pool=${pool}&node=${name}`)]);
  const versions = Object.entries(node.versions).map(([what, version]) => `${what} ${version}`);
  return opened(
    [poolNamed(node.pool), `/${node.name} `, badge(node.health)],
    el("p", {}, node.reason),
    facts([
      ["Since", when(node.health_since)],
      ["Accelerators", node.accelerators ? `${node.accelerators_ok} of ${node.accelerators} ${node.accelerator}` : "none"],
      ["Cores, memory", `${node.cores}, ${figure(node.memory_gib, "GiB")}`],
      ["Driver", node.driver],
      ["Software", versions.join(", ") || "–"],
      ["Between failures", rateWords(figures.node_mtbf)],
      ["In its place", node.replaced_by || "–"],
      ["First seen", when(node.first_seen_at)],
      ["Heard of", when(node.heartbeat_at)],
    ]),
    node.gauges.length ? wide("Accelerators now", GAUGES, node.gauges, "") : "",
    el("h4", {}, "Incidents"),
    wide("Incidents", INCIDENTS, incidents, "Nothing has failed."),
    el("h4", {}, "Events"),
    wide("Events", EVENTS, events, "Nothing was reported."),
    el("h4", {}, "Moves of its health"),
    wide("Moves of its health", MOVES, moves, "Its health has not changed."),
  );
}

/** @param {[string, string][]} pools */
function reliability(pools) {
  const { labelled, input } = control({ name: "pool", label: "Of", kind: "select", options: pools });
  const found = el("div", { "aria-busy": "true" }, el("p.quiet", {}, "Loading…"));
  const trouble = el("div", { role: "alert" });
  const show = () =>
    tried(trouble, async () => {
      const told = await get(input.value ? path`/v1/reliability?pool=${input.value}` : "/v1/reliability");
      found.removeAttribute("aria-busy");
      found.replaceChildren(
        facts([
          ["Nodes, accelerators", `${told.nodes}, ${told.accelerators}`],
          ["Between failures of a node", rateWords(told.node_mtbf)],
          ["Between failures of an accelerator", rateWords(told.accelerator_mtbf)],
          ["Until it is good again", rateWords(told.mttr)],
        ]),
      );
    });
  input.addEventListener("change", show);
  void show();
  return part("Reliability", el("form.wanted", {}, ...labelled), trouble, found);
}

/** @param {any} rate */
function rateWords(rate) {
  const seen = `${rate.events} in ${figure(rate.hours_watched, "h")}`;
  if (rate.hours === null) return `${rate.hours_lower === null ? "not known" : `more than ${figure(rate.hours_lower, "h")}`} (${seen}). ${rate.note}`;
  const bounds = `${figure(rate.hours_lower, "h")} to ${rate.hours_upper === null ? "not bounded" : figure(rate.hours_upper, "h")} at ${figure(rate.confidence * 100, "%")}`;
  return `${figure(rate.hours, "h")} (${bounds}; ${seen}). ${rate.note}`;
}
