// The twin's answer to “what if”: the installation run on as it is and with some changes, side by side. All of it is simulated.

import { post } from "./api.js";
import { el } from "./dom.js";
import { shifts } from "./draw.js";
import { form } from "./form.js";
import { lasting, part, simulated, when, wide } from "./show.js";

const EXAMPLES = ["add 2 nodes to POOL", "node NAME fails", "order shortest", "no backfill", "team NAME asks for 8 slots for 2 hours, 3 times", "without LEASE"];
const DRAWN = 30;

/** @param {string[]} pools */
export function whatIf(pools) {
  const answer = el("div.parts", { role: "status" });
  const fields = [
    { name: "words", label: "If", required: true, characters: 1000, hint: EXAMPLES[0].replace("POOL", pools[0] ?? "POOL") },
    { name: "pool", label: "In pool", kind: /** @type {"select"} */ ("select"), options: pools },
  ];
  const asked = form({ name: "What if", fields, yes: "Simulate", keep: true, said: "The simulation is done." }, async ({ words, pool }) => {
    answer.replaceChildren(el("p.quiet", {}, "Two simulations run…"));
    try {
      answer.replaceChildren(...told(await post("/v1/twin/what-if", { words, pool })));
    } catch (error) {
      answer.replaceChildren();
      throw error;
    }
  });
  const examples = el("p.quiet", {}, "Such as ", ...EXAMPLES.flatMap((each, at) => [at ? ", " : "", el("code", {}, each)]), "; several with “and” between.");
  return part(["What if? ", simulated()], examples, asked, answer);
}

/** @param {any} found */
function told(found) {
  const columns = [...new Set(found.figures.flatMap(Object.keys))];
  const figures = columns.map((name) => /** @type {import("./show.js").Column} */ ([name.replaceAll("_", " "), (row) => shown(row[name]), name === columns[0] ? "row" : "figure"]));
  return [
    el("p", {}, simulated(), " ", found.told.join("; "), ". As of ", when(found.as_of), `, pools ${found.pools.join(", ")}.`),
    wide("Figures as it is and then", figures, found.figures, "Nothing runs and nothing waits: there is nothing to compare."),
    shifts("When each lease that waits would start, as it is and with the changes; the table below says the same.", found.leases.slice(0, DRAWN).map(shift), (value) => new Date(value).toLocaleString()),
    wide("Leases that wait", LEASES, found.leases, "No lease of yours waits."),
    found.others ? el("p.quiet", {}, `${found.others} of other teams wait too; ${found.others_delayed} of them would start later.`) : "",
  ];
}

/** @param {unknown} value */
const shown = (value) => (typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 2 }) : String(value ?? "–"));

/** @param {any} row */
const shift = (row) => ({ name: row.lease_id, before: moment(row.starts_as_it_is), after: moment(row.starts_then) });

/** @param {string|null} at */
const moment = (at) => (at ? Date.parse(at) : null);

/** @type {import("./show.js").Column[]} */
const LEASES = [
  ["lease", (row) => row.lease_id + (row.hypothetical ? " (of the question)" : ""), "row"],
  ["queue", (row) => row.queue],
  ["slots", (row) => row.slots, "figure"],
  ["as it is", (row) => when(row.starts_as_it_is)],
  ["then", (row) => when(row.starts_then)],
  ["by that", (row) => (row.sooner_seconds === null ? "–" : row.sooner_seconds === 0 ? "the same" : row.sooner_seconds > 0 ? `${lasting(row.sooner_seconds)} sooner` : `${lasting(-row.sooner_seconds)} later`), "figure"],
];
