// What is paid for and not needed, each with the plan that mends it.

import { path, post } from "./api.js";
import { el } from "./dom.js";
import { List } from "./list.js";
import { planLink } from "./page.js";
import { badge, tried, when } from "./show.js";
import { asking } from "./sure.js";
import { poolNamed } from "./twins.js";

/** @typedef {import("./page.js").Place} Place */

/** @type {[string, string][]} */
const KINDS = [["", "any"], ["lease_idle", "idle lease"], ["lease_oversized", "oversized lease"], ["lease_dear", "dear lease"], ["endpoint_idle", "idle endpoint"], ["cluster_idle", "idle cluster"]];
const MONEY = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 4 });

/** @param {Place} place */
export function findings(place) {
  /** @type {List} */
  const list = new List({
    title: "What could be saved",
    none: "Nothing was found that is paid for and not needed.",
    columns: [
      ["what", (row) => row.title, "row"],
      ["team", (row) => row.team],
      ["pool", (row) => poolNamed(row.pool)],
      ["because", (row) => row.evidence],
      ["since", (row) => when(row.since)],
      ["saves an hour", (row) => MONEY.format(row.saving_hourly), "figure"],
      ["saves until its end", (row) => MONEY.format(row.saving_left), "figure"],
      ["state", (row) => [badge(row.state), row.plan_id ? " " : "", row.plan_id ? planLink(row.plan_id) : "", row.blocked ? ` ${row.blocked}` : ""]],
      ...(place.may("user") ? [/** @type {import("./show.js").Column} */ (["actions", (row) => acts(row, () => list.again()), "acts"])] : []),
    ],
    size: 20,
    filters: [
      { name: "kind", label: "Kind", kind: "select", options: KINDS },
      { name: "every", label: "also what was put aside", kind: "check" },
    ],
    path: (query) => `/v1/costs/findings?${new URLSearchParams([...query, ...place.asked()])}`,
  });
  return list;
}

/** @param {any} row @param {() => Promise<void>} again @returns {any[]} */
function acts(row, again) {
  const holder = el("span");
  const trouble = el("div", { role: "alert" });
  const said = el("div", { role: "status" });
  const at = path`/v1/costs/findings/${row.id}`;
  if (row.state !== "open") return [holder];
  if (!row.blocked) {
    holder.append(asking(holder, "Fix", "Propose the plan that mends it?", "Yes, propose it", async () => {
      let plan;
      if (!(await tried(trouble, async () => (plan = await post(`${at}/fix`, {}))))) return;
      said.replaceChildren("Plan ", planLink(/** @type {any} */ (plan).plan_id), ` is ${/** @type {any} */ (plan).state}.`);
      holder.replaceChildren();
    }));
  }
  const why = el("input", { "aria-label": "Why", placeholder: "why", maxlength: "400" });
  holder.append(asking(holder, "Put aside", "Leave it out of the list for 30 days:", "Put it aside", async () => {
    if (await tried(trouble, () => post(`${at}/dismiss`, { reason: why.value || "no reason given", days: 30 }))) await again();
  }, why));
  return [holder, said, trouble];
}
