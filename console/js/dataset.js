// One version of a team's dataset: its columns, its rows by page, and the export that no spreadsheet runs.

import { get, path } from "./api.js";
import { el } from "./dom.js";
import { List } from "./list.js";
import { here } from "./page.js";
import { facts, figure, opened, when, wide } from "./show.js";

/** @typedef {import("./page.js").Place} Place */

/**
 * @param {Place} place
 * @param {string} team
 * @param {string} name
 * @param {string} version
 */
export async function showDataset(place, team, name, version) {
  const at = path`/v1/datasets/${name}/versions`;
  const query = place.me.tenant === null ? new URLSearchParams({ tenant: team }) : new URLSearchParams();
  const kept = await get(`${at}/${encodeURIComponent(version)}?${query}`);
  const versions = new List({
    title: "Versions",
    none: "",
    size: 10,
    columns: [
      ["version", (row) => here(["dataset", team, name, String(row.version)], String(row.version)), "row"],
      ["rows", (row) => figure(row.rows), "figure"],
      ["digest", (row) => el("code", { title: row.digest }, row.digest.slice(0, 12))],
      ["since", (row) => when(row.created_at)],
    ],
    path: (page) => `${at}?${page}&${query}`,
  });
  const rows = new List({
    title: "Rows",
    none: "It has no rows.",
    size: 25,
    pick: (answer) => answer.rows,
    columns: kept.columns.map((/** @type {any} */ column, /** @type {number} */ each) => [column.name, (/** @type {any} */ row) => row[each], column.kind === "number" ? "figure" : undefined]),
    path: (page) => `${at}/${encodeURIComponent(version)}/rows?${page}&${query}`,
  });
  return opened(
    `${kept.name} version ${kept.version}`,
    el("p", {}, kept.description),
    facts([
      ["Digest", el("code", { title: kept.digest }, kept.digest.slice(0, 16))],
      ["Holds", `${figure(kept.rows)} rows, ${figure(kept.bytes / 1024, "KiB")}, as ${kept.format}`],
      ["Registered by", kept.created_by],
      ["Since", when(kept.created_at)],
      ["As a file", el("a", { href: `${at}/${encodeURIComponent(version)}/export.csv?${query}`, download: true }, "CSV, without formulas")],
    ]),
    wide("Columns", [["column", (row) => row.name, "row"], ["kind", (row) => row.kind], ["gaps", (row) => figure(row.gaps), "figure"]], kept.columns, ""),
    rows.element,
    versions.element,
  );
}
