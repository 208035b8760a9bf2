// The page of people and programs: members, roles of one's own, and service accounts with their keys.

import { get, path, post, request } from "./api.js";
import { el } from "./dom.js";
import { folded, listed } from "./form.js";
import { List } from "./list.js";
import { openPage } from "./page.js";
import { badge, tried, when } from "./show.js";
import { asking } from "./sure.js";
import { secret } from "./secret.js";
import { ending } from "./ending.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./show.js").Column} Column */
/** @typedef {import("./form.js").Field} Field */

const ROLES = ["viewer", "user", "operator", "approver", "admin"];

openPage(
  "people",
  async (place, main) => {
    if (!place.team) return main.replaceChildren(el("p.quiet", {}, "There is no team yet: make one on the page “Team”."));
    const parts = [members(place), roles(place), permissions(place)];
    if (place.may("approver")) parts.splice(1, 0, accounts(place));
    main.replaceChildren(...parts);
  },
  { teams: "one" },
);

/** @param {Place} place whether the asker orders the team */
const orders = (place) => place.may("admin") || (place.me.manages ?? []).includes(`team/${place.team}`);

/** @param {Place} place */
function members(place) {
  const list = new List({
    title: "Members",
    none: place.may("approver") ? "Nobody is a member: people sign in through a provider of identities." : "Members are shown to approvers.",
    columns: [
      ["person", (row) => row.title || row.subject, "row"],
      ["known as", (row) => el("code", {}, row.subject)],
      ["role", (row) => row.role],
      ["in project", (row) => row.project || "all"],
      ["by", (row) => (row.source === "groups" ? "groups, at the last sign-in" : row.added_by)],
      ["since", (row) => when(row.created_at)],
      ...(orders(place) ? [/** @type {Column} */ (["actions", (row) => ending(`Take the role from ${row.title || row.subject}?`, path`/v1/members/${row.id}`, () => list.again()), "acts"])] : []),
    ],
    size: 30,
    path: (query) => `/v1/members?${new URLSearchParams([...query, ...place.asked()])}`,
  });
  if (!orders(place)) return list.element;
  /** @type {Field[]} */
  const fields = [
    { name: "subject", label: "Person", required: true, hint: "oidc:… as the provider names them", characters: 255 },
    { name: "title", label: "Called", characters: 120 },
    { name: "role", label: "Role", value: "user", required: true, hint: `${ROLES.join(", ")}, or a role of your own`, characters: 41 },
    { name: "project", label: "Only in project", hint: "all of the team", characters: 41 },
  ];
  list.element.append(folded({ name: "Add a member", fields, yes: "Add", said: "The member is added." }, async (values) => {
    await post("/v1/members", { tenant: place.team, ...values });
    await list.again();
  }));
  return list.element;
}

/** @param {Place} place */
function roles(place) {
  const list = new List({
    title: "Roles of your own",
    none: "There is none: viewer, user, operator, approver and admin are always there.",
    columns: [
      ["role", (row) => row.name, "row"],
      ["called", (row) => row.title || "–"],
      ["of", (row) => (row.tenant ? `team ${row.tenant}` : `organisation ${row.organisation}`)],
      ["counts as", (row) => row.counts_as],
      ["may", (row) => row.permissions.join(", ")],
      ["revision", (row) => row.revision, "figure"],
      ...(orders(place) ? [/** @type {Column} */ (["actions", (row) => (row.tenant ? ending(`Remove ${row.name}? Who has it may nothing then.`, path`/v1/roles/${row.id}`, () => list.again()) : "–"), "acts"])] : []),
    ],
    size: 30,
    path: (query) => `/v1/roles?${new URLSearchParams([...query, ...place.asked()])}`,
  });
  if (!orders(place)) return list.element;
  list.element.append(making(place, list), changing(list));
  return list.element;
}

/** @param {Place} place @param {List} list */
function making(place, list) {
  /** @type {Field[]} */
  const fields = [
    { name: "name", label: "Name", required: true, characters: 41 },
    { name: "title", label: "Called", characters: 120 },
    { name: "counts_as", label: "Counts as", kind: "select", options: ROLES.slice(0, 4) },
    { name: "permissions", label: "May", kind: "long", required: true, hint: "jobs:read, plans:approve, …" },
  ];
  return folded({ name: "Make a role", fields, yes: "Make it", said: "The role is made." }, async ({ permissions: may, ...values }) => {
    await post("/v1/roles", { tenant: place.team, ...values, permissions: listed(may) });
    await list.again();
  });
}

/** @param {List} list */
function changing(list) {
  /** @type {Field[]} */
  const fields = [
    { name: "name", label: "Role", required: true, characters: 41 },
    { name: "permissions", label: "May from now on", kind: "long", required: true },
  ];
  return folded({ name: "Change what a role may", fields, yes: "Change it", said: "The role is changed." }, async ({ name, permissions: may }) => {
    const role = list.rows.find((row) => row.name === name);
    await request("PATCH", path`/v1/roles/${role?.id ?? name}`, { permissions: listed(may), revision: role?.revision ?? null });
    await list.again();
  });
}

/** @param {Place} place what a role may be given, asked for when somebody wants to see it */
function permissions(place) {
  if (!orders(place)) return "";
  const shown = el("div");
  const show = async () => {
    if (shown.childElementCount) return;
    shown.replaceChildren(el("p.quiet", {}, "Loading…"));
    await tried(shown, async () => {
      const found = await get("/v1/permissions");
      const items = found.map((/** @type {any} */ row) => el("li", {}, el("code", {}, row.permission), el("span.quiet", {}, ` ${row.routes.join(", ")}`)));
      shown.replaceChildren(el("ul.plain", {}, ...items));
    });
  };
  return el("details", { toggle: show }, el("summary", {}, "What a role may be given"), shown);
}

/** @param {Place} place */
function accounts(place) {
  const shown = el("div.secret", { role: "status", hidden: true });
  const list = new List({
    title: "Service accounts",
    none: "No program has an account.",
    extra: [shown],
    columns: [
      ["account", (row) => row.name, "row"],
      ["called", (row) => row.title || "–"],
      ["role", (row) => row.role],
      ["project", (row) => row.project || "–"],
      ["made by", (row) => row.created_by],
      ["state", (row) => badge(row.disabled_at ? "closed" : "live")],
      ["actions", (row) => (row.disabled_at ? "–" : accountActs(row, shown, list)), "acts"],
    ],
    size: 30,
    path: (query) => `/v1/accounts?${new URLSearchParams([...query, ...place.asked()])}`,
  });
  /** @type {Field[]} */
  const fields = [
    { name: "name", label: "Name", required: true, characters: 41 },
    { name: "title", label: "Called", characters: 120 },
    { name: "role", label: "Role", value: "user", hint: "up to operator, or a role of your own", characters: 41 },
    { name: "project", label: "Project", hint: "none", characters: 41 },
  ];
  list.element.append(folded({ name: "Make a service account", fields, yes: "Make it", said: "The account is made." }, async (values) => {
    await post("/v1/accounts", { tenant: place.team, ...values });
    await list.again();
  }));
  return list.element;
}

/** @param {any} row @param {HTMLElement} shown @param {List} list */
function accountActs(row, shown, list) {
  const at = path`/v1/accounts/${row.tenant}/${row.name}`;
  const holder = el("span");
  const trouble = el("div", { role: "alert" });
  const days = el("input", { type: "number", min: "1", max: "3650", "aria-label": "Days", placeholder: "days" });
  const issue = () => tried(trouble, async () => {
    const issued = await post(`${at}/keys`, days.value ? { days: Number(days.value) } : {});
    await list.again();
    secret(shown, issued.key.name, issued.secret);
  });
  const end = () => tried(trouble, () => request("DELETE", at)).then((done) => void (done && list.again()));
  holder.append(asking(holder, "New key", `A key of ${row.name}, good for`, "Make it", issue, days), asking(holder, "End", `End ${row.name} with all its keys?`, "Yes, end it", end));
  return [holder, trouble];
}
