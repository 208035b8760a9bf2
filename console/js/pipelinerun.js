// One run of a pipeline: its steps as they are now, what people are asked, and what each step left.

import { get, getText, path, post } from "./api.js";
import { el } from "./dom.js";
import { elapsed, priceRange, spelled } from "./format.js";
import { here } from "./page.js";
import { acting, badge, facts, opened, tried, when, wide } from "./show.js";
import { asking } from "./sure.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./show.js").Column} Column */

const OPEN = ["asked", "proposed", "running", "waiting"];
/** @type {Column[]} */
const APPROVALS = [
  ["at", (row) => when(row.at)],
  ["who", (row) => row.actor],
  ["said", (row) => badge(row.approve ? "approved" : "refused")],
  ["digest", (row) => el("code", { title: row.digest }, row.digest.slice(0, 12))],
];

/**
 * @param {Place} place
 * @param {string} id
 * @param {() => Promise<void>} changed
 */
export async function showRun(place, id, changed) {
  const holder = el("div");
  const file = el("div");
  const draw = async () => {
    const at = path`/v1/pipeline-runs/${id}`;
    const [run, approvals] = await Promise.all([get(at), get(`${at}/approvals`)]);
    const again = async () => void (await Promise.all([draw(), changed()]));
    const cards = [["", run.card], ...run.steps.filter((/** @type {any} */ step) => step.state === "asking").map((/** @type {any} */ step) => [step.step, step.card])];
    holder.replaceChildren(
      opened(
        [`Run of ${run.pipeline} version ${run.version} `, badge(run.state)],
        [run.reason, run.remedy].some(Boolean) ? el("p", {}, `${run.reason} ${run.remedy}`.trim()) : "",
        ...cards.filter(([, card]) => card?.digest).map(([step, card]) => question(place, at, step, card, again)),
        facts(told(run)),
        acts(place, at, run, again),
        wide("Steps of the run", columns(at, file), run.steps, "No step has begun."),
        file,
        el("h4", {}, "Decisions"),
        wide("Decisions", APPROVALS, approvals, "Nobody has decided."),
      ),
    );
  };
  await draw();
  return holder;
}

/** @param {any} run @returns {[string, any][]} */
function told(run) {
  return [
    ["Run", el("code", {}, run.id)],
    ["Team", run.tenant],
    ["Started by", `${run.trigger}, ${run.actor} (${run.role})`],
    ["Parameters", Object.entries(run.parameters).map(([name, value]) => `${name} = ${spelled(value)}`).join(", ") || "none"],
    ["What is known", run.cache ? "is not done again" : "is done anew"],
    ["Pipeline", here(["pipeline", run.tenant, run.pipeline], `${run.pipeline}, ${run.digest.slice(0, 12)}`)],
    ["Asked", when(run.asked_at)],
    ["Took", run.started_at && run.ended_at ? elapsed(run.started_at, run.ended_at) : "–"],
    ["Lineage", el("a", { href: `catalog.html#/lineage/${encodeURIComponent(`pipeline_run/${run.id}`)}` }, "what it was made from, and what came of it")],
  ];
}

/** @param {string} at @param {HTMLElement} shown @returns {Column[]} */
function columns(at, shown) {
  return [
    ["step", (row) => row.step, "row"],
    ["kind", (row) => row.kind],
    ["state", (row) => badge(row.state)],
    ["tries", (row) => row.attempt, "figure"],
    ["took", (row) => (row.started_at && row.ended_at ? elapsed(row.started_at, row.ended_at) : "–"), "figure"],
    ["came to", (row) => [row.reason, row.remedy, row.cached_from && `as in run ${row.cached_from}`, Object.entries(row.result).map(([name, value]) => `${name}: ${spelled(value)}`).join(", ")].filter(Boolean).join(" ") || "–"],
    ["left", (row) => Object.keys(row.outputs).map((name) => acting(name, async () => shown.replaceChildren(...(await left(at, row.step, name)))))],
  ];
}

/** @param {string} at @param {string} step @param {string} name */
async function left(at, step, name) {
  const words = await getText(`${at}${path`/steps/${step}/files/${name}`}`);
  return [el("h4", {}, `${name} of ${step}`), el("pre.joblog", { tabindex: "0" }, words.slice(0, 100_000))];
}

/** @param {Place} place @param {string} at @param {string} step @param {any} card @param {() => Promise<void>} again */
function question(place, at, step, card, again) {
  const holder = el("div.actions");
  const trouble = el("div", { role: "alert" });
  const why = el("input", { "aria-label": "Why", placeholder: "why", maxlength: "500" });
  const ask = (/** @type {string} */ what, /** @type {object} */ body) => tried(trouble, () => post(`${at}/${what}`, body).then(again));
  if (place.may("user")) holder.append(asking(holder, "Approve", `Approve exactly this, ${card.digest.slice(0, 12)}?`, "Yes, approve", () => ask("approve", { digest: card.digest })));
  if (place.may("approver")) holder.append(asking(holder, "Refuse", "Refuse it?", "Yes, refuse", () => ask("refuse", { reason: why.value }), why));
  const what = step ? `Gate ${step} asks: may it go on?` : "May it begin?";
  return el(
    "div.question.part",
    {},
    el("h4", {}, what),
    el("p", {}, card.plan?.title ?? "", card.plan?.price ? ` Price: ${priceRange(card.plan.price)}.` : ""),
    el("ul.notes", { "aria-label": "Notes" }, ...(card.plan?.notes ?? []).map((/** @type {string} */ note) => el("li", {}, note))),
    holder,
    trouble,
  );
}

/** @param {Place} place @param {string} at @param {any} run @param {() => Promise<void>} again */
function acts(place, at, run, again) {
  if (!place.may("user")) return "";
  const holder = el("div.actions");
  const trouble = el("div", { role: "alert" });
  const said = el("span", { role: "status" });
  if (OPEN.includes(run.state)) {
    const end = () => tried(trouble, () => post(`${at}/cancel`, { reason: "" }).then(again));
    holder.append(asking(holder, "Cancel", "End it? What steps left stays known.", "Yes, cancel", end));
  } else {
    holder.append(acting("Run it again", async () => {
      const made = await post(`${at}/rerun`, {});
      said.replaceChildren("It goes on as run ", here(["run", made.id], made.id), ".");
    }));
  }
  return el("div", {}, holder, said, trouble);
}
