// The page of pipelines: what there is, what runs, and the data that it reads.

import { ApiError, path, post, request } from "./api.js";
import { el } from "./dom.js";
import { folded } from "./form.js";
import { List } from "./list.js";
import { everyFewSeconds, followAddress, here, openPage } from "./page.js";
import { badge, figure, when } from "./show.js";
import { showDataset } from "./dataset.js";
import { showPipeline } from "./pipeline.js";
import { showRun } from "./pipelinerun.js";

/** @typedef {import("./page.js").Place} Place */
/** @typedef {import("./show.js").Column} Column */

const STATES = ["open", "asked", "proposed", "running", "waiting", "done", "gated", "failed", "cancelled", "refused", "expired"];
/** What one request carries; larger files go in parts. */
const BYTES_MAX = 700_000;

/** @type {Column[]} */
const PIPELINES = [
  ["pipeline", (row) => here(["pipeline", row.tenant, row.name], row.name), "row"],
  ["version", (row) => row.version, "figure"],
  ["team", (row) => row.tenant],
  ["what it does", (row) => row.description || "–"],
  ["steps", (row) => row.steps, "figure"],
  ["by", (row) => row.created_by],
  ["since", (row) => when(row.created_at)],
];
/** @type {Column[]} */
const RUNS = [
  ["run", (row) => here(["run", row.id], row.id), "row"],
  ["pipeline", (row) => `${row.pipeline} ${row.version}`],
  ["team", (row) => row.tenant],
  ["state", (row) => badge(row.state)],
  ["started by", (row) => `${row.trigger}, ${row.actor}`],
  ["why", (row) => [row.reason, row.remedy].filter(Boolean).join(" ") || "–"],
  ["asked", (row) => when(row.asked_at)],
  ["ended", (row) => when(row.ended_at)],
];
/** @type {Column[]} */
const DATASETS = [
  ["dataset", (row) => here(["dataset", row.tenant, row.name, String(row.version)], row.name), "row"],
  ["version", (row) => row.version, "figure"],
  ["team", (row) => row.tenant],
  ["rows", (row) => figure(row.rows), "figure"],
  ["columns", (row) => row.columns.length, "figure"],
  ["what it is", (row) => row.description || "–"],
  ["digest", (row) => el("code", { title: row.digest }, row.digest.slice(0, 12))],
  ["since", (row) => when(row.created_at)],
];

openPage("pipelines", async (place, main) => {
  const listed = (/** @type {string} */ at) => (/** @type {URLSearchParams} */ query) => `${at}?${new URLSearchParams([...query, ...place.asked()])}`;
  const pipelines = new List({ title: "All pipelines", columns: PIPELINES, none: "No pipeline is kept.", size: 20, path: listed("/v1/pipelines") });
  const runs = new List({
    title: "Runs",
    columns: RUNS,
    none: "Nothing has run.",
    size: 20,
    filters: [
      { name: "pipeline", label: "Pipeline", hint: "any", characters: 40 },
      { name: "state", label: "State", kind: "select", options: [["", "any"], ...STATES.map((each) => /** @type {[string, string]} */ ([each, each === "open" ? "not over" : each]))] },
    ],
    path: listed("/v1/pipeline-runs"),
  });
  const datasets = new List({ title: "Datasets of the team", columns: DATASETS, none: "No dataset was registered; the shared ones are in the catalog.", size: 20, path: listed("/v1/datasets") });
  if (place.may("user") && place.team) {
    pipelines.element.append(keeping(place, pipelines));
    datasets.element.append(registering(place, datasets));
  }
  const detail = el("div");
  main.replaceChildren(detail, runs.element, pipelines.element, datasets.element);
  const changed = async () => void (await Promise.all([pipelines.again(), runs.again()]));
  await followAddress(detail, ([kind, first, name, version]) => {
    if (kind === "run") return showRun(place, first, changed);
    if (kind === "pipeline") return showPipeline(place, first, name, changed);
    return kind === "dataset" ? showDataset(place, first, name, version) : null;
  });
  everyFewSeconds(() => runs.again());
});

/** @param {Place} place @param {List} list */
function keeping(place, list) {
  /** @type {import("./form.js").Field[]} */
  const fields = [{ name: "text", label: "Pipeline, in YAML", kind: "long", required: true }];
  return folded({ name: "Keep a pipeline", fields, yes: "Keep it", said: "The pipeline is kept." }, async ({ text }) => {
    await post(`/v1/pipelines?${place.asked()}`, { text });
    await list.again();
  });
}

/** @param {Place} place @param {List} list */
function registering(place, list) {
  /** @type {import("./form.js").Field[]} */
  const fields = [
    { name: "name", label: "Name", required: true, characters: 40 },
    { name: "file", label: "CSV or Parquet", kind: "file", required: true },
    { name: "description", label: "What it is", characters: 400 },
  ];
  return folded({ name: "Register a dataset, or its next version", fields, yes: "Register it", said: "The version is registered." }, async ({ name, file, description = "" }) => {
    const format = file.name.endsWith(".parquet") ? "parquet" : "csv";
    await post(`${path`/v1/datasets/${name}/versions`}?${place.asked()}`, { format, description, ...(await sent(place, name, file)) });
    await list.again();
  });
}

/** @param {Place} place @param {string} name @param {File} file @returns {Promise<object>} the file as one request carries it, or the parts that were sent before */
async function sent(place, name, file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.length <= BYTES_MAX) return { content: base64(bytes) };
  if (!crypto.subtle) throw new ApiError({ status: 0, code: "needs_tls", reason: "A file of this size is sent in parts, for which the page must come over TLS.", remedy: "Use “lineshaft datasets add”." });
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const upload = Array.from(digest, (each) => each.toString(16).padStart(2, "0")).join("");
  const parts = Math.ceil(bytes.length / BYTES_MAX);
  for (let part = 0; part < parts; part += 1) {
    const content = base64(bytes.subarray(part * BYTES_MAX, (part + 1) * BYTES_MAX));
    await request("PUT", `${path`/v1/datasets/${name}/uploads/${upload}/${String(part)}`}?${place.asked()}`, { content });
  }
  return { upload, parts };
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
