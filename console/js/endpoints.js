// The page of endpoints and roll-outs: what is live, what comes in by how much, and why it went on or back.

import { List } from "./list.js";
import { everyFewSeconds, followAddress, here, openPage } from "./page.js";
import { badge, percent, when } from "./show.js";
import { showEndpoint } from "./endpoint.js";
import { showRollout } from "./rollout.js";
import { el } from "./dom.js";

/** @type {import("./show.js").Column[]} */
const ENDPOINTS = [
  ["endpoint", (row) => here(["endpoint", row.tenant, row.name], row.name), "row"],
  ["team", (row) => row.tenant],
  ["model", (row) => row.model_name],
  ["version", (row) => row.version, "figure"],
  ["before it", (row) => (row.previous_version ? `${row.previous_model_name ?? row.model_name} ${row.previous_version}` : "–")],
  ["state", (row) => badge(row.state)],
  ["since", (row) => when(row.updated_at)],
];
/** @type {import("./show.js").Column[]} */
const ROLLOUTS = [
  ["roll-out", (row) => here(["rollout", row.id], row.id), "row"],
  ["endpoint", (row) => `${row.tenant}/${row.endpoint}`],
  ["candidate", (row) => `${row.model_name} ${row.version}`],
  ["by", (row) => row.plan.strategy.replaceAll("_", "/")],
  ["state", (row) => badge(row.state)],
  ["share", (row) => percent(row.share), "figure"],
  ["why", (row) => row.reason],
  ["begun", (row) => when(row.created_at)],
];

openPage("endpoints", async (place, main) => {
  const detail = el("div");
  const endpoints = new List({
    title: "Endpoints",
    columns: ENDPOINTS,
    none: "No endpoint is live. Ask for one: “train a classifier on digits and put it live as digits”.",
    size: 0,
    path: () => `/v1/endpoints?${place.asked()}`,
  });
  const rollouts = new List({
    title: "Roll-outs",
    columns: ROLLOUTS,
    none: "No roll-out yet. They begin by plans: “roll out version 2 of digits-classifier to digits as a canary”.",
    size: 20,
    filters: [
      { name: "endpoint", label: "Endpoint", hint: "any", characters: 63 },
      { name: "open_only", label: "only those that go on", kind: "check" },
    ],
    path: (query) => `/v1/rollouts?${new URLSearchParams([...query, ...place.asked()])}`,
  });
  main.replaceChildren(detail, endpoints.element, rollouts.element);
  await followAddress(detail, (parts) => {
    if (parts[0] === "rollout") return showRollout(place, parts[1], () => rollouts.again());
    return parts[0] === "endpoint" ? showEndpoint(place, parts[1], parts[2]) : null;
  });
  everyFewSeconds(() => Promise.all([endpoints.again(), rollouts.again()]));
});
