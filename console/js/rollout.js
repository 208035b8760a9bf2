// One roll-out: its gates, both versions side by side, and every move with its reason.

import { get, path, post } from "./api.js";
import { el } from "./dom.js";
import { asking } from "./sure.js";
import { acting, badge, facts, figure, lasting, opened, percent, tried, when, wide } from "./show.js";

/** @typedef {import("./page.js").Place} Place */

const OPEN = ["preparing", "running", "paused"];
/** @type {import("./show.js").Column[]} */
const MOVES = [
  ["number", (move) => move.number, "figure"],
  ["at", (move) => when(move.at)],
  ["state", (move) => badge(move.state)],
  ["share", (move) => percent(move.share), "figure"],
  ["why", (move) => move.reason],
];

/**
 * @param {Place} place
 * @param {string} id
 * @param {() => Promise<void>} changed
 */
export async function showRollout(place, id, changed) {
  const holder = el("div");
  const draw = async () => {
    const { rollout, moves, candidate, live } = await get(path`/v1/rollouts/${id}`);
    const rows = SIDES.map(([name, value]) => [name, value(candidate), value(live)]);
    holder.replaceChildren(
      opened(
        [`${rollout.endpoint}: ${rollout.model_name} ${rollout.version} `, badge(rollout.state)],
        el("p", {}, rollout.reason),
        steps(rollout),
        facts(told(rollout)),
        acts(place, rollout, async () => Promise.all([draw(), changed()])),
        wide("What was counted in this step", [["in this step", (row) => row[0], "row"], ["candidate", (row) => row[1], "figure"], ["live version", (row) => row[2], "figure"]], rows, ""),
        wide("Moves", MOVES, moves, "It has not moved yet."),
      ),
    );
  };
  await draw();
  return holder;
}

/** @param {number} part @param {number} whole */
const share = (part, whole) => (whole ? `${percent(part / whole)} of ${whole}` : "–");

/** @type {[string, (side: any) => string][]} */
const SIDES = [
  ["requests", (side) => figure(side.requests)],
  ["failed", (side) => share(side.errors, side.requests)],
  ["half answered within", (side) => figure(side.latency_p50_ms, "ms")],
  ["95 of 100 answered within", (side) => figure(side.latency_p95_ms, "ms")],
  ["agreed with the other", (side) => share(side.agreed, side.compared)],
  ["right by feedback", (side) => share(side.right, side.labelled)],
];

/** @param {any} rollout */
function steps(rollout) {
  const shares = rollout.plan.shares.length ? rollout.plan.shares : rollout.plan.strategy === "canary" ? [0.01, 0.1, 0.5] : [1];
  const items = shares.map((/** @type {number} */ each, /** @type {number} */ at) => {
    const state = at < rollout.step ? "behind" : at === rollout.step && OPEN.includes(rollout.state) ? "now" : "ahead";
    const words = { behind: "held", now: "now", ahead: "not reached" }[state];
    return el("li", { "data-state": state }, percent(each), " ", el("span.quiet", {}, words));
  });
  return el("ol.steps-of", { "aria-label": "Shares" }, ...items);
}

/** @param {any} rollout @returns {[string, any][]} */
function told(rollout) {
  const { gates, ...plan } = rollout.plan;
  const must = [
    `at most ${percent(gates.error_rate_max)} fail`,
    gates.latency_p95_ms_max && `95 of 100 within ${gates.latency_p95_ms_max} ms`,
    gates.latency_ratio_max && `at most ${gates.latency_ratio_max} times as slow as the live version`,
    gates.agreement_min && `agrees in ${percent(gates.agreement_min)}`,
    gates.accuracy_min && `right in ${percent(gates.accuracy_min)}`,
  ];
  return [
    ["Roll-out", el("code", {}, rollout.id)],
    ["Instead of", `${rollout.old_model_name} ${rollout.old_version}`],
    ["By", plan.strategy.replaceAll("_", "/")],
    ["Each step", `${lasting(plan.step_seconds)} and ${plan.requests_min} requests at least, ${lasting(plan.patience_seconds)} at most`],
    ["Must hold", must.filter(Boolean).join("; ")],
    ["Asked by", rollout.asked_by || "–"],
    ["Begun", when(rollout.created_at)],
    ["Ended", when(rollout.ended_at)],
  ];
}

/** @param {Place} place @param {any} rollout @param {() => Promise<unknown>} changed */
function acts(place, rollout, changed) {
  if (!OPEN.includes(rollout.state) || !place.may("user")) return "";
  const holder = el("div.actions");
  const trouble = el("div", { role: "alert" });
  const ask = (/** @type {string} */ what, /** @type {object} */ body) => tried(trouble, () => post(path`/v1/rollouts/${rollout.id}/${what}`, body).then(changed));
  const why = el("input", { "aria-label": "Why", placeholder: "why", maxlength: "300" });
  if (rollout.state === "paused") {
    if (place.may("approver")) holder.append(acting("Go on", () => ask("resume", {})));
  } else {
    holder.append(acting("Hold", () => ask("pause", {})));
  }
  holder.append(asking(holder, "Abort", "Give all requests back to the version before?", "Yes, abort", () => ask("abort", { reason: why.value }), why));
  return el("div", {}, holder, trouble);
}
