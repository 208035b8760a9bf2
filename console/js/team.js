// The page of a team: what it may use and uses, its projects, its quotas by pool; and organisations and teams for who orders them.

import { get, path, request } from "./api.js";
import { el } from "./dom.js";
import { folded } from "./form.js";
import { money } from "./format.js";
import { List } from "./list.js";
import { openPage } from "./page.js";
import { badge, facts, part, tried, when, wide } from "./show.js";
import { asking } from "./sure.js";
import { ending } from "./ending.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./form.js").Field} Field */

openPage(
  "team",
  async (place, main) => {
    const parts = [];
    if (place.team) parts.push(await theTeam(place), projects(place), quotas(place));
    parts.push(organisations(place));
    if (place.may("admin")) parts.push(await teams());
    main.replaceChildren(...parts);
  },
  { teams: "one" },
);

/** @param {Place} place */
async function theTeam(place) {
  const [team, cost] = await Promise.all([get(path`/v1/tenants/${place.team}`), get(path`/v1/cost?tenant=${place.team}`)]);
  const shown = facts([
    ["Called", team.title || team.name],
    ["Organisation", team.organisation ?? "none"],
    ["Slots at one time", team.quota_slots],
    ["Money", `${money(cost.spent, cost.currency)} spent and ${money(cost.reserved, cost.currency)} reserved of ${money(team.budget, cost.currency)}`],
    ["Made", when(team.created_at)],
    ["Revision", team.revision],
    ...(team.note ? [/** @type {[string, any]} */ (["To know", team.note])] : []),
  ]);
  const made = part([`Team ${team.name} `, badge(team.closed_at ? "closed" : "live")], shown);
  if (place.may("admin") && !team.closed_at) made.append(changing(team), closing(team));
  return made;
}

/** @param {any} team */
function changing(team) {
  /** @type {Field[]} */
  const fields = [
    { name: "title", label: "Called", value: team.title, characters: 120 },
    { name: "quota_slots", label: "Slots at one time", kind: "number", least: 0, value: String(team.quota_slots), required: true },
    { name: "budget", label: "Money in all", value: team.budget, required: true },
    { name: "organisation", label: "Organisation", value: team.organisation ?? "", hint: "none", characters: 41 },
  ];
  return folded({ name: "Change the team", fields, yes: "Change it", keep: true }, async ({ title = "", organisation = "", ...limits }) => {
    await request("PATCH", path`/v1/tenants/${team.name}`, { title, organisation, ...limits, revision: team.revision });
    location.reload();
  });
}

/** @param {any} team */
function closing(team) {
  const holder = el("div.actions");
  const trouble = el("div", { role: "alert" });
  const close = () => tried(trouble, async () => {
    await request("DELETE", path`/v1/tenants/${team.name}`);
    location.assign("team.html");
  });
  holder.append(asking(holder, "Close the team", `Close ${team.name}? Its keys end at once; its records remain.`, "Yes, close it", close));
  return el("div", {}, holder, trouble);
}

/** @param {Place} place */
function projects(place) {
  const mayOrder = place.may("approver");
  const list = new List({
    title: "Projects",
    none: "No project: use is charged to the team alone.",
    columns: [
      ["project", (row) => row.name, "row"],
      ["called", (row) => row.title || "–"],
      ["revision", (row) => row.revision, "figure"],
      ["made", (row) => when(row.created_at)],
      ...(mayOrder ? [/** @type {import("./show.js").Column} */ (["actions", (row) => ending(`Remove ${row.name}? What was charged to it stays.`, path`/v1/projects/${row.tenant}/${row.name}`, () => list.again()), "acts"])] : []),
    ],
    size: 20,
    path: (query) => `/v1/projects?${new URLSearchParams([...query, ...place.asked()])}`,
  });
  if (!mayOrder) return list.element;
  const fields = [{ name: "name", label: "Name", required: true, characters: 41 }, { name: "title", label: "Called", characters: 120 }];
  list.element.append(folded({ name: "Make a project", fields, yes: "Make it", said: "The project is made." }, async (values) => {
    await request("POST", "/v1/projects", { tenant: place.team, ...values });
    await list.again();
  }));
  return list.element;
}

/** @param {Place} place */
function quotas(place) {
  const admin = place.may("admin");
  const list = new List({
    title: "Quotas by pool",
    none: "No pool has a quota of its own: the one over all pools binds.",
    columns: [
      ["pool", (row) => row.pool, "row"],
      ["of", (row) => row.accelerator || "every slot"],
      ["held", (row) => row.slots_held, "figure"],
      ["at most", (row) => row.slots_max, "figure"],
      ["share", (row) => el("progress", { max: "1", value: String(row.slots_max ? Math.min(row.slots_held / row.slots_max, 1) : 1), "aria-label": `${row.slots_held} of ${row.slots_max} held in ${row.pool}` })],
      ["to know", (row) => row.note || "–"],
      ...(admin ? [/** @type {import("./show.js").Column} */ (["actions", (row) => ending("Remove this quota?", `/v1/quotas?${new URLSearchParams({ tenant: row.tenant, pool: row.pool, accelerator: row.accelerator })}`, () => list.again()), "acts"])] : []),
    ],
    size: 20,
    path: (query) => `/v1/quotas?${new URLSearchParams([...query, ...place.asked()])}`,
  });
  if (!admin) return list.element;
  /** @type {Field[]} */
  const fields = [
    { name: "pool", label: "Pool", required: true, characters: 64 },
    { name: "accelerator", label: "Accelerator", hint: "every slot of the pool", characters: 64 },
    { name: "slots_max", label: "Slots at most", kind: "number", least: 0, required: true },
  ];
  list.element.append(folded({ name: "Set a quota", fields, yes: "Set it", said: "The quota is set." }, async (values) => {
    await request("PUT", "/v1/quotas", { tenant: place.team, ...values });
    await list.again();
  }));
  return list.element;
}

/** @param {Place} place */
function organisations(place) {
  const list = new List({
    title: "Organisations",
    none: "This team belongs to no organisation.",
    columns: [["organisation", (row) => row.name, "row"], ["called", (row) => row.title || "–"], ["revision", (row) => row.revision, "figure"], ["made", (row) => when(row.created_at)]],
    size: 20,
    path: (query) => `/v1/organisations?${query}`,
  });
  const titled = [{ name: "name", label: "Name", required: true, characters: 41 }, { name: "title", label: "Called", characters: 120 }];
  if (place.may("admin")) {
    list.element.append(folded({ name: "Make an organisation", fields: titled, yes: "Make it", said: "The organisation is made." }, async (values) => {
      await request("POST", "/v1/organisations", values);
      await list.again();
    }));
  }
  if (place.may("admin") || place.me.manages?.some((each) => each.startsWith("organisation/"))) {
    list.element.append(folded({ name: "Call an organisation otherwise", fields: titled, yes: "Call it so", said: "It is called so." }, async ({ name, title = "" }) => {
      const revision = list.rows.find((row) => row.name === name)?.revision ?? null;
      await request("PATCH", path`/v1/organisations/${name}`, { title, revision });
      await list.again();
    }));
  }
  return list.element;
}

async function teams() {
  const found = await get("/v1/tenants");
  /** @type {import("./show.js").Column[]} */
  const columns = [
    ["team", (row) => el("a", { href: `?${new URLSearchParams({ team: row.name })}` }, row.name), "row"],
    ["called", (row) => row.title || "–"],
    ["organisation", (row) => row.organisation ?? "–"],
    ["slots", (row) => row.quota_slots, "figure"],
    ["money", (row) => Number(row.budget).toLocaleString("en"), "figure"],
    ["state", (row) => badge(row.closed_at ? "closed" : "live")],
  ];
  /** @type {Field[]} */
  const fields = [
    { name: "name", label: "Name", required: true, characters: 41 },
    { name: "title", label: "Called", characters: 120 },
    { name: "quota_slots", label: "Slots at one time", kind: "number", least: 0, required: true },
    { name: "budget", label: "Money in all", value: "20" },
    { name: "organisation", label: "Organisation", hint: "none", characters: 41 },
  ];
  const make = folded({ name: "Make a team", fields, yes: "Make it" }, async (values) => {
    await request("POST", "/v1/tenants", values);
    location.assign(`?${new URLSearchParams({ team: values.name })}`);
  });
  return part("All teams", wide("All teams", columns, found, "There is no team yet."), make);
}
