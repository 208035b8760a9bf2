// The page of the audit log: who changed what, by page, as a file, and whether the chain holds.

import { get } from "./api.js";
import { el } from "./dom.js";
import { form } from "./form.js";
import { List } from "./list.js";
import { openPage } from "./page.js";
import { badge, part, when } from "./show.js";

/** @type {import("./show.js").Column[]} */
const ROWS = [
  ["row", (row) => row.seq, "row"],
  ["at", (row) => when(row.at)],
  ["who", (row) => row.actor],
  ["through", (row) => row.door],
  ["team", (row) => row.tenant ?? "–"],
  ["did", (row) => el("code", {}, row.action)],
  ["to", (row) => row.object],
  ["outcome", (row) => badge(row.outcome)],
  ["digest", (row) => el("code", { title: row.digest }, row.digest.slice(0, 12))],
];
const DAYS_AT_FIRST = 7;
const DAY_MILLISECONDS = 86_400_000;

openPage("audit", async (place, main) => {
  if (!place.may("approver")) return main.replaceChildren(el("p.quiet", {}, "The audit log is shown to approvers."));
  const files = el("p.files");
  const asked = (/** @type {URLSearchParams} */ query) => {
    const since = query.get("since");
    if (since) query.set("since", new Date(since).toISOString());
    return new URLSearchParams([...query, ...place.asked()]);
  };
  const log = new List({
    title: "Who changed what",
    columns: ROWS,
    none: "Nothing was changed.",
    size: 50,
    cursor: (row) => String(row.seq),
    filters: [
      { name: "actor", label: "Who", hint: "anybody", characters: 160 },
      { name: "action", label: "Did", hint: "anything", characters: 160 },
      { name: "object", label: "To", hint: "anything", characters: 160 },
      { name: "since", label: "Since", kind: "moment", value: localMoment(Date.now() - DAYS_AT_FIRST * DAY_MILLISECONDS) },
    ],
    path: (query) => {
      const wanted = asked(query);
      const all = new URLSearchParams([...wanted].filter(([name]) => !["limit", "after"].includes(name)));
      files.replaceChildren("All of it as ", file("csv", all), " or ", file("jsonl", all), ".");
      return `/v1/audit?${wanted}`;
    },
    extra: [el("p.quiet", {}, "Oldest first. Names are matched from their beginning.")],
  });
  log.element.append(files);
  main.replaceChildren(log.element, ...(place.may("admin") ? [checking()] : []));
});

/** @param {string} kind @param {URLSearchParams} query */
const file = (kind, query) => el("a", { href: `/v1/audit.${kind}?${query}`, download: true }, kind.toUpperCase());

/** @param {number} at @returns {string} as a field for moments takes it */
function localMoment(at) {
  const moment = new Date(at);
  return new Date(at - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function checking() {
  const said = el("div", { role: "status" });
  const fields = [{ name: "head", label: "Head", hint: "SEQ:DIGEST of an earlier check", characters: 100 }];
  const check = form({ name: "Check the chain", fields, yes: "Compute every digest again", keep: true }, async ({ head = "" }) => {
    const found = await get(`/v1/audit/verify?${new URLSearchParams({ head })}`);
    const words = found.holds ? [badge("ok"), ` ${found.rows} rows hold. Keep this head elsewhere: `, el("code", {}, found.head)] : [badge("broken"), ` Row ${found.broken_at}: ${found.reason}`];
    said.replaceChildren(el("p", {}, ...words));
  });
  return part("The chain", check, said);
}
