// The page of training: studies, runs side by side, blueprints that are ready to run, and environments.

import { get } from "./api.js";
import { el, link } from "./dom.js";
import { List } from "./list.js";
import { everyFewSeconds, followAddress, here, openPage } from "./page.js";
import { badge, figure, lasting, opened, part, when, wide } from "./show.js";
import { showStudy } from "./study.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./show.js").Column} Column */

/** @type {Column[]} */
const STUDIES = [
  ["study", (row) => here(["study", row.id], row.name), "row"],
  ["team", (row) => row.tenant],
  ["state", (row) => badge(row.state)],
  ["best", (row) => (row.best_value === null ? "–" : `${figure(row.best_value)} by trial ${row.best_number}`), "figure"],
  ["searches", (row) => `${row.spec.direction === "maximize" ? "the highest" : "the lowest"} ${row.spec.metric}`],
  ["by", (row) => row.created_by],
  ["why", (row) => row.reason || "–"],
  ["begun", (row) => when(row.created_at)],
];
/** @type {Column[]} */
const BLUEPRINTS = [
  ["blueprint", (row) => row.name, "row"],
  ["what it does", (row) => row.description],
  ["environment", (row) => row.environment || "–"],
  ["nodes at most", (row) => row.nodes_max, "figure"],
  ["takes", (row) => Object.keys(row.order.properties ?? {}).join(", ")],
];

/** @type {Column[]} */
const ENVIRONMENTS = [
  ["environment", (row) => row.name, "row"],
  ["what it is", (row) => row.description],
  ["asks for", (row) => row.requirements.join(", ")],
  ["state", (row) => badge(row.installed ? "installed" : "not installed")],
  ["packages", (row) => row.packages.length || "–", "figure"],
  ["size", (row) => (row.bytes ? figure(row.bytes / 2 ** 20, "MiB") : "–"), "figure"],
];

openPage(
  "training",
  async (place, main) => {
    const asked = (/** @type {URLSearchParams} */ query) => new URLSearchParams([...query, ...place.asked()]);
    const studies = new List({
      title: "Studies",
      columns: STUDIES,
      none: "No study yet. They begin by plans: “search the best parameters of an mlp on digits, 20 trials”.",
      size: 20,
      filters: [{ name: "name", label: "Name", hint: "any", characters: 63 }, { name: "open_only", label: "only those that go on", kind: "check" }],
      path: (query) => `/v1/studies?${asked(query)}`,
    });
    const detail = el("div");
    const more = place.team ? [runs(asked).element] : [];
    main.replaceChildren(detail, studies.element, ...more, ...(await ready()));
    await followAddress(detail, ([kind, ...rest]) => {
      if (kind === "study") return showStudy(place, rest[0], () => studies.again());
      return kind === "compare" ? compare(place, rest) : null;
    });
    everyFewSeconds(() => studies.again());
  },
  { teams: "one" },
);

/** @param {(query: URLSearchParams) => URLSearchParams} asked */
function runs(asked) {
  /** @type {Set<string>} */
  const chosen = new Set();
  const go = el("button", { type: "button", disabled: true, click: () => (location.hash = `/compare/${[...chosen].map(encodeURIComponent).join("/")}`) }, "Compare");
  const tick = (/** @type {any} */ row) => {
    const box = el("input", { type: "checkbox", checked: chosen.has(row.run_id), "aria-label": `Compare ${row.name}` });
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(row.run_id);
      else chosen.delete(row.run_id);
      go.disabled = chosen.size < 2;
    });
    return box;
  };
  const list = new List({
    title: "Training runs",
    none: "Nothing was trained.",
    size: 20,
    columns: [
      ["compare", tick],
      ["run", (row) => (row.url ? link(row.url, row.name || row.run_id) : row.name || row.run_id), "row"],
      ["experiment", (row) => row.experiment],
      ["state", (row) => badge(row.status.toLowerCase())],
      ["found", (row) => Object.entries(row.metrics).slice(0, 3).map(([name, value]) => `${name} ${figure(/** @type {number} */ (value))}`).join(", ") || "–"],
      ["took", (row) => (row.seconds === null ? "–" : lasting(row.seconds)), "figure"],
      ["begun", (row) => (row.started_at ? when(new Date(row.started_at * 1000).toISOString()) : "–")],
    ],
    filters: [{ name: "experiment", label: "Experiment", hint: "any", characters: 128 }],
    path: (query) => `/v1/training/runs?${asked(query)}`,
  });
  list.element.append(el("div.actions", {}, go));
  return list;
}

/** @param {Place} place @param {string[]} ids */
async function compare(place, ids) {
  const query = place.asked();
  for (const id of ids) query.append("run_id", id);
  const found = await get(`/v1/training/compare?${query}`);
  const names = found.runs.map((/** @type {any} */ run) => run.name || run.run_id);
  /** @type {Column[]} */
  const columns = [
    ["what", (row) => row.name, "row"],
    ...names.map((/** @type {string} */ name, /** @type {number} */ at) => /** @type {Column} */ ([name, (row) => told(row, at, found.runs[at].run_id), "figure"])),
    ["differs", (row) => (row.differs ? "yes" : "–")],
  ];
  return opened(
    `${found.runs.length} runs side by side`,
    el("h4", {}, "What they found"),
    wide("Metrics", columns, found.metrics, "They have no metrics."),
    el("h4", {}, "With what"),
    wide("Parameters", columns, found.parameters, "They have no parameters."),
    el("h4", {}, "On what"),
    wide("Environment", columns, found.environment, "Nothing is known of where they ran."),
  );
}

/** @param {any} row @param {number} at @param {string} run */
function told(row, at, run) {
  const value = row.values[at];
  const words = value === null ? "–" : typeof value === "number" ? figure(value) : value;
  return row.best === run ? el("strong", {}, words) : words;
}

async function ready() {
  const [blueprints, environments] = await Promise.all([get("/v1/training/blueprints"), get("/v1/training/environments")]);
  return [
    part("Ways of training that are ready to run", el("p.quiet", {}, "Ask for one in a conversation, or use it from the catalog."), wide("Blueprints", BLUEPRINTS, blueprints, "There is none.")),
    part("Environments of this host", wide("Environments", ENVIRONMENTS, environments, "There is none.")),
  ];
}
