// The page of the catalog: what there is, found by meaning and by exact conditions; access to what others own.

import { post, session } from "./api.js";
import { el } from "./dom.js";
import { folded, listed } from "./form.js";
import { List } from "./list.js";
import { followAddress, here, openPage } from "./page.js";
import { access } from "./access.js";
import { badges, showEntry } from "./entry.js";
import { lineage } from "./lineage.js";
import { opened } from "./show.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./form.js").Field} Field */

const KINDS = ["service", "model", "dataset", "feature", "pipeline", "endpoint", "document", "agent", "tool"];
/** A search shows its best ones; whoever wants more says more closely what they look for. */
const BEST = 150;

/** @type {import("./show.js").Column[]} */
const ENTRIES = [
  ["name", (row) => here(["entry", row.id], row.name), "row"],
  ["kind", (row) => row.kind],
  ["version", (row) => row.version || "–"],
  ["team", (row) => row.tenant],
  ["what it is", (row) => brief(row.description)],
  ["tags", (row) => row.tags.join(", ") || "–"],
  ["badges", (row) => badges(row.badges)],
];

/** @param {string} words */
const brief = (words) => (words.length > 160 ? `${words.slice(0, 159)}…` : words);

openPage("catalog", async (place, main) => {
  const less = el("p.less", { role: "status" });
  session.addEventListener("degraded", (event) => less.replaceChildren(/** @type {CustomEvent} */ (event).detail));
  const entries = new List({
    title: "What there is",
    extra: [less],
    columns: ENTRIES,
    none: "The catalog is empty.",
    size: 24,
    most: BEST,
    filters: [
      { name: "q", label: "Search", hint: "by meaning or by name", characters: 400 },
      { name: "kind", label: "Kind", kind: "select", options: [["", "any"], ...KINDS.map((each) => /** @type {[string, string]} */ ([each, each]))] },
      { name: "tag", label: "Tag", hint: "any", characters: 60 },
      { name: "badge", label: "Badge", hint: "quality:good", characters: 60 },
      { name: "team", label: "Owned by team", hint: "any", characters: 64 },
      { name: "version", label: "Version", hint: "any", characters: 80 },
    ],
    path: (query) => {
      less.replaceChildren();
      return `/v1/catalog?${new URLSearchParams([...query, ...place.asked()])}`;
    },
  });
  const requests = access(place);
  const detail = el("div");
  if (place.may("user") && place.team) entries.element.append(listing(place, entries));
  main.replaceChildren(detail, entries.element, requests.element);
  await followAddress(detail, async ([kind, id]) => {
    if (kind === "entry") return showEntry(place, id, async () => void (await Promise.all([entries.again(), requests.again()])));
    return kind === "lineage" ? opened(id, el("p", {}, here(["entry", id], "What the catalog says of it")), await lineage(place, id)) : null;
  });
});

/** @param {Place} place @param {List} entries */
function listing(place, entries) {
  /** @type {Field[]} */
  const fields = [
    { name: "kind", label: "Kind", kind: "select", options: KINDS, value: "document" },
    { name: "name", label: "Name", required: true, characters: 120 },
    { name: "version", label: "Version", hint: "none", characters: 80 },
    { name: "description", label: "What it is", kind: "long" },
    { name: "tags", label: "Tags", hint: "with commas between" },
    { name: "url", label: "Address", hint: "none", characters: 2000 },
    { name: "visibility", label: "Seen by", kind: "select", options: [["team", "the team"], ["private", "only me"], ["organisation", "the organisation"], ["shared", "every team"]] },
    { name: "access", label: "Who sees it", kind: "select", options: [["open", "may use it"], ["request", "must ask first"]] },
    { name: "text", label: "Text of a document", kind: "long", hint: "plain or Markdown" },
  ];
  return folded({ name: "List something of the team's", fields, yes: "List it", said: "It is listed." }, async ({ tags, ...values }) => {
    await post("/v1/catalog", { ...values, tags: listed(tags), tenant: place.team });
    await entries.again();
  });
}
