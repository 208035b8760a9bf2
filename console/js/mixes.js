// Ways to buy machines for the same work, side by side, on the twin. All of it is simulated.

import { post } from "./api.js";
import { el } from "./dom.js";
import { form } from "./form.js";
import { figure, lasting, part, simulated, when, wide } from "./show.js";

/** @typedef {import("./form.js").Field} Field */

/** @type {import("./show.js").Column[]} */
const LINES = [
  ["bought", (row) => row.name, "row"],
  ["reserved slots", (row) => row.reserved_slots, "figure"],
  ["cost", (row) => `${figure(row.cost)} (${figure(row.cost_low)} to ${figure(row.cost_high)})`, "figure"],
  ["saved", (row) => figure(row.saved_percent, "%"), "figure"],
  ["work takes", (row) => lasting(row.completion_mean_seconds), "figure"],
  ["slower by", (row) => figure(row.slower_percent, "%"), "figure"],
  ["waits, 95 of 100", (row) => lasting(row.queue_p95_seconds), "figure"],
  ["lost", (row) => figure(row.lost_slot_hours, "slot h"), "figure"],
  ["finished", (row) => figure(row.finished_percent, "%"), "figure"],
  ["good enough", (row) => (row.good_enough ? "yes" : "no")],
];

/** @param {string[]} pools */
export function mixes(pools) {
  const found = el("div.parts", { role: "status" });
  /** @type {Field[]} */
  const fields = [
    { name: "pool", label: "The past of pool", kind: "select", options: pools },
    { name: "days", label: "Days of it", kind: "number", least: 1, most: 60, value: "7" },
    { name: "jobs_an_hour", label: "Or made-up work: jobs an hour", kind: "number", least: 0, most: 1000, hint: "none: the past" },
    { name: "reserved_share", label: "Reserved price, as a share", kind: "number", least: 0.01, most: 0.99, value: "0.6" },
    { name: "spot_share", label: "Spot price, as a share", kind: "number", least: 0.01, most: 0.99, value: "0.35" },
    { name: "on_demand_hourly", label: "A slot's hour on demand", kind: "number", least: 0, hint: "by the price book" },
  ];
  const asked = form({ name: "Reserved, spot and on demand", fields, yes: "Simulate", keep: true, said: "The simulation is done." }, async ({ jobs_an_hour: jobs, ...values }) => {
    found.replaceChildren(el("p.quiet", {}, "The twin runs the work with each mix…"));
    try {
      const told = await post("/v1/costs/mix", { ...values, ...(jobs ? { load: { jobs_an_hour: jobs } } : {}) });
      const about = `${told.work} ${figure(told.jobs)} jobs, ${told.seeds} seeds, in ${told.currency}. As of `;
      found.replaceChildren(el("p", {}, simulated(), " ", told.words), el("p.quiet", {}, about, when(told.as_of), "."), wide("Ways to buy", LINES, told.lines, "There is nothing to compare."));
    } catch (error) {
      found.replaceChildren();
      throw error;
    }
  });
  return part(["How it is bought best ", simulated()], asked, found);
}
