// Draws what came from what: data on the left, what came of it on the right. Each thing leads to what is around it.

import { get } from "./api.js";
import { el } from "./dom.js";
import { control } from "./form.js";
import { label, svg } from "./draw.js";
import { here } from "./page.js";
import { part, tried, when, wide } from "./show.js";

/** @typedef {{id: string, kind: string, distance: number}} Node */
/** @typedef {{source: string, target: string, how: string, at: string}} Edge */
/** @typedef {{start: string, nodes: Node[], edges: Edge[], truncated: boolean}} Graph */
/** @typedef {import("./show.js").Column} Column */

const DRAWN = 150;
const [WIDE, HIGH, ACROSS, DOWN, EDGE] = [180, 36, 254, 50, 14];
const LETTERS = 25;

/** @type {Column[]} */
const EDGES = [
  ["from", (edge) => thing(edge.source), "row"],
  ["was", (edge) => edge.how],
  ["to", (edge) => thing(edge.target)],
  ["at", (edge) => when(edge.at)],
];

/** @param {string} id */
const thing = (id) => here(["lineage", id], id);

/**
 * The lineage around a thing, with how far and which way it is looked.
 * @param {import("./page.js").Place} place
 * @param {string} start
 */
export async function lineage(place, start) {
  const way = control({ name: "direction", label: "Look", kind: "select", options: [["both", "both ways"], ["up", "to what it was made from"], ["down", "to what came of it"]] });
  const far = control({ name: "depth", label: "Steps", kind: "number", least: 1, most: 12, value: "6" });
  const found = el("div.parts");
  const trouble = el("div", { role: "alert" });
  const show = () => tried(trouble, async () => {
    const query = place.asked({ node: start, direction: way.input.value, depth: String(Math.min(Math.max(Number(far.input.value) || 6, 1), 12)) });
    found.replaceChildren(...told(await get(`/v1/lineage?${query}`)));
  });
  for (const each of [way, far]) each.input.addEventListener("change", show);
  await show();
  const wanted = el("form.wanted", { submit: (/** @type {Event} */ event) => event.preventDefault() }, ...way.labelled, ...far.labelled);
  return part("What it was made from, and what came of it", wanted, trouble, found);
}

/** @param {Graph} graph */
function told(graph) {
  if (!graph.edges.length) return [el("p.quiet", {}, "Nothing is known of what it was made from, and nothing came of it yet.")];
  const drawn = graph.nodes.length <= DRAWN ? scrolled(graph) : el("p.quiet", {}, `${graph.nodes.length} things are too many to draw: look fewer steps far.`);
  return [
    drawn,
    graph.truncated ? el("p", {}, "There is more than is shown: go on from one of the outermost things.") : "",
    wide("What came from what", EDGES, graph.edges, ""),
  ];
}

/** @param {Graph} graph @returns {any} the drawing, moved so that what was asked about is seen */
function scrolled(graph) {
  const holder = el("div.wide", { tabindex: "0", role: "region", "aria-label": "Drawing of the lineage" }, drawing(graph));
  requestAnimationFrame(() => {
    const start = Number(holder.querySelector(".start rect")?.getAttribute("x") ?? 0);
    holder.scrollLeft = start - (holder.clientWidth - WIDE) / 2;
  });
  return holder;
}

/** @param {Graph} graph */
function drawing(graph) {
  const columns = ordered(graph);
  const places = new Map();
  columns.forEach((column, x) => column.forEach((node, y) => places.set(node.id, [EDGE + x * ACROSS, EDGE + y * DOWN])));
  const [width, height] = [2 * EDGE + (columns.length - 1) * ACROSS + WIDE, 2 * EDGE + Math.max(...columns.map((each) => each.length)) * DOWN];
  const arrow = svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, svg("path", { class: "arrow", d: "M0 0L8 4L0 8Z" }));
  const edges = graph.edges.filter((edge) => places.has(edge.source) && places.has(edge.target)).map((edge) => curve(edge, places));
  const boxes = graph.nodes.map((node) => box(node, places.get(node.id), node.id === graph.start));
  return svg("svg", { class: "drawing lineage", viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": `Lineage of ${graph.start}; the table below says the same.` }, svg("defs", {}, arrow), ...edges, ...boxes);
}

/** @param {Graph} graph @returns {Node[][]} columns from what was first to what came last, each in the order of what leads to it */
function ordered(graph) {
  const distances = [...new Set(graph.nodes.map((node) => node.distance))].sort((one, other) => one - other);
  const columns = distances.map((distance) => graph.nodes.filter((node) => node.distance === distance));
  const rank = new Map();
  for (const column of columns) {
    const weight = new Map(column.map((node) => [node.id, mean(graph.edges.filter((edge) => edge.target === node.id && rank.has(edge.source)).map((edge) => rank.get(edge.source)))]));
    column.sort((one, other) => weight.get(one.id) - weight.get(other.id) || one.id.localeCompare(other.id));
    column.forEach((node, at) => rank.set(node.id, at));
  }
  return columns;
}

/** @param {number[]} values */
const mean = (values) => (values.length ? values.reduce((sum, each) => sum + each, 0) / values.length : 0);

/** @param {Edge} edge @param {Map<string, [number, number]>} places */
function curve(edge, places) {
  const [[fromX, fromY], [toX, toY]] = [places.get(edge.source), places.get(edge.target)];
  const back = toX <= fromX;
  const [x1, y1, x2, y2] = [fromX + WIDE, fromY + HIGH / 2, back ? toX + WIDE : toX, toY + HIGH / 2];
  const bend = back ? 40 : (x2 - x1) / 2;
  const d = `M${x1} ${y1}C${x1 + bend} ${y1} ${back ? x2 + bend : x2 - bend} ${y2} ${x2} ${y2}`;
  return svg("g", {}, svg("path", { class: "edge", d, "marker-end": "url(#arrow)" }, svg("title", {}, `${edge.source} ${edge.how} ${edge.target}`)), back ? "" : label((x1 + x2) / 2, (y1 + y2) / 2 - 3, edge.how, "middle"));
}

/** @param {Node} node @param {[number, number]} at @param {boolean} start */
function box(node, [x, y], start) {
  const rest = node.id.slice(node.kind.length + 1);
  const shown = rest.length > LETTERS ? `${rest.slice(0, LETTERS - 10)}…${rest.slice(-9)}` : rest;
  const parts = [svg("title", {}, node.id), svg("rect", { x, y, width: WIDE, height: HIGH, rx: 6 }), kindLabel(x + 8, y + 14, node.kind), svg("text", { class: "name", x: x + 8, y: y + 29 }, shown)];
  return svg("a", { class: start ? "thing start" : "thing", href: `#/lineage/${encodeURIComponent(node.id)}`, "aria-label": node.id }, ...parts);
}

/** @param {number} x @param {number} y @param {string} kind */
const kindLabel = (x, y, kind) => svg("text", { class: "kind", x, y }, kind.replaceAll("_", " "));
