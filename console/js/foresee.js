// What would become of a lease if it were asked for now. Nothing is done.

import { post } from "./api.js";
import { el } from "./dom.js";
import { form } from "./form.js";
import { money } from "./format.js";
import { badge, facts, part } from "./show.js";
import { beginning, changes } from "./why.js";

/** @typedef {import("./form.js").Field} Field */

/**
 * @param {import("./page.js").Place} place
 * @param {string[]} pools
 */
export function foreseeing(place, pools) {
  const answer = el("div", { role: "status" });
  /** @type {Field[]} */
  const fields = [
    { name: "slots", label: "Slots", kind: "number", least: 1, required: true, value: "1" },
    { name: "seconds", label: "Seconds", kind: "number", least: 60, most: 604_800, value: "3600" },
    { name: "pool", label: "Pool", kind: "select", options: [["", "the default one"], ...pools.map((each) => /** @type {[string, string]} */ ([each, each]))] },
    { name: "accelerator", label: "Accelerator", hint: "any, or such as H100", characters: 64 },
    { name: "topology", label: "Slots lie", kind: "select", options: [["any", "anywhere"], ["node", "in one machine"], ["rack", "on one fast network"]] },
    { name: "priority", label: "Priority", kind: "number", least: -100, most: 100, value: "0" },
    { name: "expected_seconds", label: "Expected seconds", kind: "number", least: 0, hint: "its whole term" },
  ];
  const asked = form({ name: "A lease that is not asked for", fields, yes: "Foresee", keep: true }, async (values) => {
    const found = await post("/v1/scheduling/foresee", { ...values, ...(place.me.tenant === null && place.team ? { tenant: place.team } : {}) });
    answer.replaceChildren(
      el("p", {}, badge(found.at_once ? "at once" : (found.binding ?? "waits")), ` ${found.reason}`),
      facts([
        ["Should begin", beginning(found)],
        ["Should cost", `${money(found.cost, found.currency)} (${money(found.cost_low, found.currency)} to ${money(found.cost_high, found.currency)})`],
      ]),
      found.at_once ? "" : changes(found.changes, found.currency),
    );
  });
  return part("What would become of a lease?", el("p.quiet", {}, "Asks the scheduler; nothing is leased."), asked, answer);
}
