// Builds elements. Data only ever become text nodes and checked attributes, never markup.

import { ApiError } from "./api.js";

/** @typedef {string|number|Node|null|undefined|false} Child */

/**
 * Make an element.
 * @param {string} tag name, with classes after dots: "li.step"
 * @param {Record<string, string|boolean|((event: any) => void)|null|undefined>} [attributes] functions listen to the event of their name
 * @param {...Child} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = document.createElement(name);
  if (classes.length) made.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") made.addEventListener(key, value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter(present).map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

/** @param {Child} child */
const present = (child) => child !== null && child !== undefined && child !== false && child !== "";

/**
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new ReferenceError(`No element has the id ${id}.`);
  return found;
}

/**
 * Set an element's text only when it differs, so that nothing is announced or selected anew for nothing.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A link to a page of the web or of this origin; text alone where the address is neither.
 * The address at which an endpoint is asked cannot be read: its link leads to what the endpoint is.
 * @param {string} url
 * @param {string} text
 */
export function link(url, text) {
  const href = safeAddress(url)?.replace(/(\/v1\/endpoints\/[^/]+\/[^/]+)\/predict$/, "$1") ?? null;
  return href === null ? el("span", {}, text) : el("a", { href, target: "_blank", rel: "noopener noreferrer" }, text);
}

/**
 * @param {unknown} url
 * @returns {string|null} the whole address when it is http(s), else null.
 */
export function safeAddress(url) {
  if (typeof url !== "string" || !URL.canParse(url, location.origin)) return null;
  const parsed = new URL(url, location.origin);
  return ["http:", "https:"].includes(parsed.protocol) ? parsed.href : null;
}

/**
 * Show a problem: what happened and what to do.
 * @param {unknown} error
 * @returns {any}
 */
export function problem(error) {
  if (!(error instanceof ApiError)) throw error;
  return el("div.problem", {}, el("strong", {}, error.reason), error.remedy && el("span", {}, ` ${error.remedy}`), " ", el("code", {}, error.code));
}

/**
 * Say something to screen readers.
 * @param {string} text
 */
export function announce(text) {
  byId("announcer").textContent = text;
}
