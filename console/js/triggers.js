// What starts a pipeline by itself: the clock, new data, drift, a push. The secret of a push is shown once.

import { get, path, post } from "./api.js";
import { el } from "./dom.js";
import { ending } from "./ending.js";
import { folded } from "./form.js";
import { List } from "./list.js";
import { here } from "./page.js";
import { secret } from "./secret.js";
import { acting, badge, lasting, when, wide } from "./show.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./show.js").Column} Column */
/** @typedef {import("./form.js").Field} Field */

/** @type {Column[]} */
const FIRINGS = [
  ["at", (row) => when(row.at)],
  ["came to", (row) => badge(row.outcome)],
  ["run", (row) => (row.run_id ? here(["run", row.run_id], row.run_id) : "–")],
  ["why", (row) => row.reason || "–"],
];

/** @param {any} row */
function starts(row) {
  if (row.kind === "schedule") return row.schedule.cron ? `at ${row.schedule.cron} (${row.schedule.time_zone})` : `every ${lasting(row.schedule.every_seconds)}`;
  if (row.kind === "push") return `a push${row.branch ? ` to ${row.branch}` : ""}: ${row.address}`;
  return row.kind === "data" ? `a new version of ${row.dataset}` : `an alert of ${row.monitor}`;
}

/** @param {Place} place @param {string} pipeline @param {URLSearchParams} query */
export function triggers(place, pipeline, query) {
  const shown = el("div.secret", { role: "status", hidden: true });
  const fired = el("div");
  const mine = place.may("user");
  /** @type {List} */
  const list = new List({
    title: "What starts it",
    none: "Only people start it.",
    extra: [shown],
    columns: [
      ["trigger", (row) => row.name, "row"],
      ["starts it at", starts],
      ["while it runs", (row) => (row.overlap === "skip" ? "is left out" : "starts another")],
      ["by", (row) => row.actor],
      ["state", (row) => badge(row.enabled ? "on" : "off")],
      ["fired", (row) => acting("Show", async () => fired.replaceChildren(wide(`Firings of ${row.name}`, FIRINGS, await get(path`/v1/pipeline-triggers/${row.id}/firings`), "It has not fired.")))],
      ...(mine ? [/** @type {Column} */ (["actions", (row) => acts(row, shown, list), "acts"])] : []),
    ],
    size: 20,
    path: (page) => `${pipeline}/triggers?${page}&${query}`,
  });
  list.element.append(fired);
  if (mine) list.element.append(making(pipeline, query, shown, list));
  return list.element;
}

/** @param {any} row @param {HTMLElement} shown @param {List} list */
function acts(row, shown, list) {
  const remove = ending(`Let ${row.name} start nothing any more?`, path`/v1/pipeline-triggers/${row.id}`, () => list.again());
  if (row.kind !== "push") return remove;
  const anew = acting("New secret", async () => {
    const made = await post(path`/v1/pipeline-triggers/${row.id}/rotate`, {});
    secret(shown, row.name, made.secret);
  });
  return [anew, ...remove];
}

/** @param {string} pipeline @param {URLSearchParams} query @param {HTMLElement} shown @param {List} list */
function making(pipeline, query, shown, list) {
  /** @type {Field[]} */
  const fields = [
    { name: "name", label: "Name", required: true, characters: 40 },
    { name: "kind", label: "Starts it at", kind: "select", options: [["schedule", "the clock"], ["data", "new data"], ["drift", "drift"], ["push", "a push"]] },
    { name: "cron", label: "The clock: cron", hint: "0 3 * * 1", characters: 100 },
    { name: "every_seconds", label: "The clock: or every so many seconds", kind: "number", least: 1 },
    { name: "dataset", label: "New data: of dataset", characters: 40 },
    { name: "monitor", label: "Drift: of monitor", characters: 40 },
    { name: "branch", label: "A push: to branch", hint: "any", characters: 200 },
    { name: "parameters", label: "Parameters", kind: "json", value: "{}" },
  ];
  return folded({ name: "Add a trigger, or change one", fields, yes: "Keep it", said: "The trigger is kept." }, async ({ cron = "", every_seconds = 0, ...values }) => {
    const schedule = values.kind === "schedule" ? { schedule: { cron, every_seconds: Math.round(every_seconds) } } : {};
    const made = await post(`${pipeline}/triggers?${query}`, { ...values, ...schedule });
    await list.again();
    if (made.secret) secret(shown, made.name, made.secret);
  });
}
