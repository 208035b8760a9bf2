// Requests for access: what the team asked for, and what it decides for others.

import { path, post } from "./api.js";
import { el } from "./dom.js";
import { List } from "./list.js";
import { here } from "./page.js";
import { badge, tried, when } from "./show.js";
import { asking } from "./sure.js";

/** @typedef {import("./page.js").Place} Place */

const STATES = ["asked", "granted", "refused", "withdrawn", "lapsed", "revoked", "expired"];

/** @param {Place} place */
export function access(place) {
  /** @type {List} */
  const list = new List({
    title: "Requests for access",
    none: "Nobody has asked for access.",
    columns: [
      ["to", (row) => here(["entry", row.entry_id], row.entry_name), "row"],
      ["of team", (row) => row.owner_tenant],
      ["for team", (row) => row.tenant],
      ["by", (row) => row.asked_by],
      ["what for", (row) => row.reason],
      ["state", (row) => badge(row.state)],
      ["days", (row) => row.days, "figure"],
      ["until", (row) => when(row.state === "asked" ? row.decide_by : row.expires_at)],
      ["decided by", (row) => (row.decided_by ? `${row.decided_by} ${row.decision}`.trim() : "–")],
      ["actions", (row) => acts(place, row, () => list.again()), "acts"],
    ],
    size: 20,
    filters: [
      { name: "side", label: "Which", kind: "select", options: [["", "asked for and decided"], ["asked", "asked for"], ["owned", "to decide"]] },
      { name: "state", label: "State", kind: "select", options: [["", "any"], ...STATES.map((each) => /** @type {[string, string]} */ ([each, each]))] },
    ],
    path: (query) => `/v1/access-requests?${new URLSearchParams([...query, ...place.asked()])}`,
  });
  return list;
}

/** @param {Place} place @param {any} row @param {() => Promise<void>} again @returns {any[]} */
function acts(place, row, again) {
  const holder = el("span");
  const trouble = el("div", { role: "alert" });
  const admin = place.me.tenant === null;
  const decides = place.may("user") && (admin || row.owner_tenant === place.me.tenant);
  const asked = place.may("user") && (admin || row.tenant === place.me.tenant);
  const add = (/** @type {string} */ what, /** @type {string} */ name, /** @type {string} */ question) => {
    const why = el("input", { "aria-label": "Why", placeholder: "why", maxlength: "1000" });
    const act = async () => {
      if (await tried(trouble, () => post(path`/v1/access-requests/${row.id}/${what}`, { reason: why.value }))) await again();
    };
    holder.append(asking(holder, name, question, `Yes, ${name.toLowerCase()}`, act, why));
  };
  if (decides && row.state === "asked") {
    add("approve", "Grant", `Grant it to ${row.tenant} for ${row.days} days?`);
    add("refuse", "Refuse", "Refuse it?");
  }
  if (decides && row.state === "granted") add("revoke", "Revoke", "Take it back, at once?");
  if (asked && (row.state === "asked" || row.state === "granted")) add("withdraw", "Withdraw", "Give it up?");
  return [holder, trouble];
}
