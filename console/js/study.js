// One study: what each trial reached on its way, which is the best, and its end.

import { get, path, post } from "./api.js";
import { el, link } from "./dom.js";
import { chart } from "./draw.js";
import { spelled } from "./format.js";
import { List } from "./list.js";
import { planLink } from "./page.js";
import { badge, facts, figure, lasting, opened, tried, when } from "./show.js";
import { asking } from "./sure.js";

/** @typedef {import("./page.js").Place} Place */

const STATES = ["asked", "running", "pruning", "complete", "pruned", "failed", "stopped"];
/** So many trials' ways are drawn: more are a thicket. */
const DRAWN = 100;

/**
 * @param {Place} place
 * @param {string} id
 * @param {() => Promise<void>} changed
 */
export async function showStudy(place, id, changed) {
  const at = path`/v1/studies/${id}`;
  const [report, trials] = await Promise.all([get(at), get(`${at}/trials?limit=${DRAWN}`)]);
  const { study } = report;
  const list = new List({
    title: "Trials",
    none: "No trial yet.",
    size: 20,
    filters: [{ name: "state", label: "State", kind: "select", options: [["", "any"], ...STATES.map((each) => /** @type {[string, string]} */ ([each, each]))] }],
    columns: [
      ["trial", (row) => row.number, "row"],
      ["state", (row) => badge(row.state)],
      ["parameters", (row) => Object.entries(row.parameters).map(([name, value]) => `${name} = ${spelled(value)}`).join(", ")],
      ["value", (row) => figure(row.value), "figure"],
      ["came to step", (row) => row.reports.at(-1)?.step ?? "–", "figure"],
      ["job", (row) => row.job_id || "–"],
      ["why", (row) => row.reason || "–"],
      ["ended", (row) => when(row.ended_at)],
    ],
    path: (query) => `${at}/trials?${query}`,
  });
  return opened([`Study ${study.name} `, badge(study.state)], study.reason ? el("p", {}, study.reason) : "", drawn(report, trials), facts(told(report)), stopping(place, at, study, async () => void (await Promise.all([list.again(), changed()]))), list.element);
}

/** @param {any} report @returns {[string, any][]} */
function told({ study, best, trials, slot_hours }) {
  const { spec } = study;
  const counts = Object.entries(trials).map(([state, count]) => `${count} ${state}`).join(", ");
  return [
    ["Searches", `${spec.direction === "maximize" ? "the highest" : "the lowest"} ${spec.metric}, by ${spec.sampler}; bad trials are ended by ${spec.pruner.kind}`],
    ["Best", best ? `${figure(best.value)} by trial ${best.number}: ${Object.entries(best.parameters).map(([name, value]) => `${name} = ${spelled(value)}`).join(", ")}` : "none yet"],
    ["Trials", `${counts || "none"}; ${spec.bounds.trials_max} at most, ${spec.bounds.parallel} at one time`],
    ["Used", `${figure(slot_hours, "slot h")}${spec.bounds.slot_hours_max ? ` of ${figure(spec.bounds.slot_hours_max)}` : ""}; ${lasting(spec.bounds.seconds_max)} at most`],
    ["Lease", study.lease_id],
    ["Plan", planLink(study.plan_id)],
    ["In MLflow", study.run_url ? link(study.run_url, study.run_id) : study.run_id || "–"],
    ["Lineage", el("a", { href: `catalog.html#/lineage/${encodeURIComponent(`study/${study.id}`)}` }, "what came of it")],
    ["Begun", when(study.created_at)],
    ["Ended", when(study.ended_at)],
  ];
}

/** @param {any} report @param {any[]} trials */
function drawn({ study, best }, trials) {
  const lines = trials.filter((trial) => trial.reports.length).map((trial) => ({
    name: `trial ${trial.number}`,
    tone: trial.number === best?.number ? "accent" : trial.state === "pruned" ? "quiet" : "",
    points: trial.reports.map((/** @type {any} */ each) => [each.step, each.value]),
  }));
  // The best one last: it is drawn over the others.
  lines.sort((one, other) => Number(one.tone === "accent") - Number(other.tone === "accent"));
  return chart({ words: `${study.spec.metric} of each trial by step; the best one is thick, those ended early are dashed. The table below has where each came to.`, lines, x: (step) => figure(step), y: (value) => figure(value) });
}

/** @param {Place} place @param {string} at @param {any} study @param {() => Promise<void>} changed */
function stopping(place, at, study, changed) {
  if (study.state !== "running" || !place.may("user")) return "";
  const holder = el("div.actions");
  const trouble = el("div", { role: "alert" });
  const why = el("input", { "aria-label": "Why", placeholder: "why", maxlength: "400" });
  const stop = async () => {
    if (!(await tried(trouble, () => post(`${at}/stop`, { reason: why.value })))) return;
    holder.replaceChildren("It is being stopped.");
    await changed();
  };
  holder.append(asking(holder, "Stop", "End it? Its jobs end, what it found stays.", "Yes, stop it", stop, why));
  return el("div", {}, holder, trouble);
}
