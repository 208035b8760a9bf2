// Draws: lines over time, bars, and graphs of what came from what. Each drawing stands beside the same figures as text.

/** @typedef {Record<string, string|number>} Attributes */

const SPACE = "http://www.w3.org/2000/svg";

/**
 * Make an element of a drawing.
 * @param {string} tag
 * @param {Attributes} attributes
 * @param {...any} children
 * @returns {any}
 */
export function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SPACE, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  made.append(...children.filter((child) => child !== "" && child !== null));
  return made;
}

/**
 * A drawing with what it shows in words.
 * @param {string} words
 * @param {number} width
 * @param {number} height
 * @param {...any} children
 */
function drawing(words, width, height, ...children) {
  return svg("svg", { class: "drawing", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": words, width, height }, ...children);
}

/**
 * @param {number} low @param {number} high
 * @param {number} from @param {number} to
 */
const scale = (low, high, from, to) => (/** @type {number} */ value) => from + ((high === low ? 0.5 : (value - low) / (high - low)) * (to - from));

/** @typedef {{name: string, tone: string, points: [number, number][]}} Line */
/** @typedef {{tone: string, points: [number, number, number][]}} Band of x, low and high */

/**
 * Lines over an axis of numbers or of moments.
 * @param {{words: string, lines: Line[], bands?: Band[], marks?: {y: number, words: string}[], x: (value: number) => string, y: (value: number) => string, height?: number}} wanted
 */
export function chart({ words, lines, bands = [], marks = [], x, y, height = 220 }) {
  const width = 720;
  const points = [...lines.flatMap((line) => line.points), ...bands.flatMap((band) => band.points.flatMap(([at, low, high]) => [[at, low], [at, high]]))];
  if (!points.length) return "";
  const xs = points.map((point) => point[0]);
  const ys = [...points.map((point) => point[1]), ...marks.map((mark) => mark.y)];
  const [left, right, top, low] = [64, width - 12, 10, height - 26];
  const [xLow, xHigh, yLow, yHigh] = [Math.min(...xs), Math.max(...xs), Math.min(0, ...ys), Math.max(...ys)];
  const [across, up] = [scale(xLow, xHigh, left, right), scale(yLow, yHigh || 1, low, top)];
  return drawing(
    words,
    width,
    height,
    svg("path", { class: "axis", d: `M${left} ${top}V${low}H${right}` }),
    ...ticks(yLow, yHigh || 1).map((value) => svg("g", {}, svg("path", { class: "grid", d: `M${left} ${up(value)}H${right}` }), label(left - 6, up(value) + 4, y(value), "end"))),
    ...ticks(xLow, xHigh, 4).map((value) => label(across(value), height - 8, x(value), value === xHigh ? "end" : "middle")),
    ...bands.map((band) => svg("path", { class: `band ${band.tone}`, d: outline(band.points, across, up) })),
    ...marks.flatMap((mark) => [svg("path", { class: "mark-line", d: `M${left} ${up(mark.y)}H${right}` }), label(right, up(mark.y) - 4, mark.words, "end")]),
    ...lines.map((line) => svg("polyline", { class: `line ${line.tone}`, points: line.points.map(([at, value]) => `${across(at)},${up(value)}`).join(" ") }, svg("title", {}, line.name))),
    ...lines.filter((line) => line.points.length === 1).map((line) => svg("circle", { class: `dot ${line.tone}`, cx: across(line.points[0][0]), cy: up(line.points[0][1]), r: 3 })),
  );
}

/** @param {number} x @param {number} y @param {string} words @param {"start"|"middle"|"end"} anchor */
export const label = (x, y, words, anchor) => svg("text", { x, y, "text-anchor": anchor }, words);

/** @param {[number, number, number][]} points @param {(value: number) => number} across @param {(value: number) => number} up */
function outline(points, across, up) {
  const there = points.map(([at, low]) => `${across(at)} ${up(low)}`);
  const back = [...points].reverse().map(([at, , high]) => `${across(at)} ${up(high)}`);
  return `M${[...there, ...back].join("L")}Z`;
}

/** @param {number} low @param {number} high @param {number} [count] @returns {number[]} about so many even values */
function ticks(low, high, count = 4) {
  if (high <= low) return [low];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? rough;
  const first = Math.ceil(low / step) * step;
  return Array.from({ length: Math.floor((high - first) / step) + 1 }, (_, each) => first + each * step);
}

/**
 * Two moments of each row on one axis: as it is, and with the changes.
 * @param {string} words
 * @param {{name: string, before: number|null, after: number|null}[]} rows
 * @param {(value: number) => string} at
 */
export function shifts(words, rows, at) {
  const moments = rows.flatMap((row) => [row.before, row.after]).filter((each) => each !== null);
  if (!moments.length) return "";
  const [width, step, left] = [720, 26, 190];
  const [low, high] = [Math.min(...moments), Math.max(...moments)];
  const across = scale(low, high, left + 8, width - 16);
  const height = rows.length * step + 34;
  const drawn = rows.flatMap(({ name, before, after }, each) => {
    const y = each * step + 18;
    const span = before !== null && after !== null ? svg("path", { class: `shift ${after <= before ? "good" : "bad"}`, d: `M${across(before)} ${y}H${across(after)}` }) : "";
    const dots = [[before, "before"], [after, "after"]].map(([value, tone]) => (value === null ? "" : svg("circle", { class: `dot ${tone}`, cx: across(/** @type {number} */ (value)), cy: y, r: 5 })));
    return [label(left - 6, y + 4, name.length > 26 ? `${name.slice(0, 25)}…` : name, "end"), svg("path", { class: "grid", d: `M${left} ${y}H${width - 8}` }), span, ...dots];
  });
  return drawing(words, width, height, ...drawn, label(left, height - 6, at(low), "start"), high > low ? label(width - 8, height - 6, at(high), "end") : "");
}
