// Why something waits, when it should begin, and what would let it begin sooner.

import { get, path } from "./api.js";
import { el } from "./dom.js";
import { money } from "./format.js";
import { badge, facts, opened, when, wide } from "./show.js";

/** @param {"lease"|"job"} kind @param {string} id */
export async function why(kind, id) {
  const told = await get(kind === "lease" ? path`/v1/leases/${id}/why` : path`/v1/jobs/${id}/why`);
  return opened(
    [`Why ${id} waits `, badge(told.binding ?? told.state)],
    el("p", {}, told.reason),
    facts([
      ["State", badge(told.state)],
      ["Should begin", beginning(told)],
      ["Gives up", when(told.gives_up_at)],
      ["Kept for it", told.reserved ? "slots are kept free: what would delay it does not begin" : "nothing"],
    ]),
    changes(told.changes),
  );
}

/** @param {any} told @returns {any} */
export function beginning(told) {
  if (!told.starts_at) return "nothing that is known would let it begin";
  const likely = told.starts_earliest ? [" (8 of 10 times between ", when(told.starts_earliest), " and ", when(told.starts_latest), ")"] : [];
  return el("span", {}, when(told.starts_at), ...likely);
}

/** @param {any[]} found @param {string} [currency] */
export function changes(found, currency = "") {
  /** @type {import("./show.js").Column[]} */
  const columns = [
    ["what would let it begin sooner", (row) => row.words, "row"],
    ["then it begins", (row) => when(row.starts_at)],
    ["costs more", (row) => (currency ? money(row.cost_more, currency) : money(row.cost_more, "").trim()), "figure"],
    ["ask with", (row) => el("code", {}, JSON.stringify(row.arguments))],
  ];
  return wide("What would let it begin sooner", columns, found, "No change that was tried would let it begin sooner.");
}
