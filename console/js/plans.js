// The page of plans: those that wait for a decision first, and each as it was asked for, decided and done.

import { get, path, post } from "./api.js";
import { el } from "./dom.js";
import { moment, priceRange, spelled } from "./format.js";
import { List } from "./list.js";
import { everyFewSeconds, followAddress, here, openPage } from "./page.js";
import { acting, badge, facts, opened, tried, when, wide } from "./show.js";
import { asking } from "./sure.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./show.js").Column} Column */

const STATES = ["proposed", "approved", "running", "paused", "done", "gated", "failed", "cancelled", "refused", "expired", "escalated", "undone"];
const OPEN = ["proposed", "approved", "running", "paused"];
/** @type {Column[]} */
const PLANS = [
  ["plan", (row) => here([row.id], row.document.title || row.id), "row"],
  ["team", (row) => row.tenant],
  ["asked for by", (row) => row.document.requested_by],
  ["state", (row) => badge(row.state)],
  ["price", (row) => priceRange(row.document.price), "figure"],
  ["decided by", (row) => row.decided_by ?? "–"],
  ["changed", (row) => when(row.updated_at)],
];
/** @type {Column[]} */
const STEPS = [
  ["step", (row) => row.id, "row"],
  ["does", (row) => row.summary],
  ["tool", (row) => el("code", {}, row.tool)],
  ["with", (row) => Object.entries(row.arguments).map(([name, value]) => `${name}: ${spelled(value)}`).join("; ") || "–"],
  ["foreseen", (row) => (row.dry_run ? [row.dry_run.reason, row.dry_run.quota].filter(Boolean).join("; ") : "–")],
  ["effect", (row) => row.effect],
  ["price", (row) => (row.price ? priceRange(row.price) : "–"), "figure"],
  ["undo", (row) => row.undo || "–"],
];
/** @type {Column[]} */
const APPROVALS = [
  ["at", (row) => when(row.at)],
  ["who", (row) => row.actor],
  ["said", (row) => badge(row.approve ? "approved" : "refused")],
  ["of revision", (row) => row.revision, "figure"],
  ["digest", (row) => el("code", { title: row.digest }, row.digest.slice(0, 12))],
];

openPage("plans", async (place, main) => {
  const plans = new List({
    title: "All plans",
    columns: PLANS,
    none: "No plan yet: ask for an outcome in a conversation.",
    size: 30,
    filters: [{ name: "state", label: "State", kind: "select", options: [["", "any"], ...STATES.map((each) => /** @type {[string, string]} */ ([each, each]))] }],
    path: (query) => `/v1/plans?${new URLSearchParams([...query, ...place.asked()])}`,
  });
  const detail = el("div");
  main.replaceChildren(detail, plans.element);
  await followAddress(detail, ([id]) => show(place, id, () => plans.again()));
  everyFewSeconds(() => plans.again());
});

/** @param {Place} place @param {string} id @param {() => Promise<void>} changed */
async function show(place, id, changed) {
  const holder = el("div");
  const draw = async () => {
    const at = path`/v1/plans/${id}`;
    const [record, approvals] = await Promise.all([get(at), get(`${at}/approvals`)]);
    const { document: plan } = record;
    const again = async () => void (await Promise.all([draw(), changed()]));
    holder.replaceChildren(
      opened(
        [`${plan.title || id} `, badge(record.state)],
        plan.notes?.length ? el("ul.notes", { "aria-label": "Notes" }, ...plan.notes.map((/** @type {string} */ note) => el("li", {}, note))) : "",
        facts(told(record)),
        acts(place, record, again),
        wide("Steps of the plan", STEPS, plan.steps, "It has no steps."),
        el("h4", {}, "Decisions"),
        wide("Decisions", APPROVALS, approvals, "Nobody has decided."),
      ),
    );
  };
  await draw();
  return holder;
}

/** @param {any} record @returns {[string, any][]} */
function told({ id, tenant, thread_id, digest, document: plan, outcome, decided_by, created_at }) {
  const ended = [outcome.reason, outcome.remedy].filter(Boolean).join(" ");
  return [
    ["Plan", el("code", {}, id)],
    ["Team", tenant],
    ["Asked for by", plan.requested_by],
    ["In words", plan.request || "–"],
    ["Conversation", thread_id ? el("a", { href: `./#/threads/${encodeURIComponent(thread_id)}` }, "open it") : "–"],
    ["Price in all", priceRange(plan.price)],
    ["Decide before", plan.expires_at ? moment(plan.expires_at) : "–"],
    ["Digest", el("code", { title: digest }, digest.slice(0, 12))],
    ["Decided by", decided_by ?? "–"],
    ["Made", when(created_at)],
    ...(ended ? [/** @type {[string, any]} */ (["How it ended", ended])] : []),
  ];
}

/** @param {Place} place @param {any} record @param {() => Promise<void>} again */
function acts(place, record, again) {
  if (!OPEN.includes(record.state)) return "";
  const at = path`/v1/plans/${record.id}`;
  const holder = el("div.actions");
  const trouble = el("div", { role: "alert" });
  const ask = (/** @type {string} */ what, /** @type {object} */ body) => tried(trouble, () => post(`${at}/${what}`, body).then(again));
  const why = el("input", { "aria-label": "Why", placeholder: "why", maxlength: "500" });
  if (record.state === "proposed" && place.may("approver")) {
    holder.append(asking(holder, "Approve", `Approve exactly this plan, ${record.digest.slice(0, 12)}?`, "Yes, approve", () => ask("approve", { digest: record.digest })));
    holder.append(asking(holder, "Refuse", "Refuse it: nothing of it is done.", "Refuse", () => ask("refuse", { reason: why.value }), why));
  }
  if (record.state === "running" && place.may("user")) holder.append(acting("Hold", () => ask("pause", { reason: "" })));
  if (record.state === "paused" && place.may("operator")) holder.append(acting("Go on", () => ask("resume", {})));
  if (place.may("user")) holder.append(asking(holder, "Cancel", "End it? What was done is undone.", "Yes, cancel", () => ask("cancel", { reason: why.value }), why.cloneNode()));
  return el("div", {}, holder, trouble);
}
