// Requests to the API of this origin. The browser's session cookie is the only credential: scripts never see it.

/** @typedef {import("./types.js").Problem} Problem */

/** Fires `signedout` when a session has ended, and `degraded`, with words, when an answer is less than it could be. */
export const session = new EventTarget();

/** A refusal by the API, or its absence, with what to do about it. */
export class ApiError extends Error {
  /** @param {Problem} problem */
  constructor(problem) {
    super(problem.reason);
    this.status = problem.status;
    this.code = problem.code;
    this.reason = problem.reason;
    this.remedy = problem.remedy;
  }
}

/** @returns {ApiError} the refusal of a server that cannot be reached. */
export function unreachable() {
  return new ApiError({
    status: 0,
    code: "unreachable",
    reason: "The server does not answer.",
    remedy: "See “lineshaft status” on its machine, then try again.",
  });
}

/**
 * Turn a response that is not a success into an error; tell everyone when the session has ended.
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
export async function refusal(response) {
  /** @type {Partial<Problem>} */
  const body = await response.json().catch(() => ({}));
  const error = new ApiError({
    status: response.status,
    code: body.code ?? "http_error",
    reason: body.reason ?? `The server answered ${response.status}.`,
    remedy: body.remedy ?? "Try again.",
  });
  if (response.status === 401) session.dispatchEvent(new Event("signedout"));
  return error;
}

/**
 * Make one request and return its JSON. Throws ApiError.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function request(method, path, body) {
  /** @type {RequestInit} */
  const options = { method, credentials: "same-origin", cache: "no-store", headers: { Accept: "application/json" } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { Accept: "application/json", "Content-Type": "application/json" };
  }
  const response = await fetch(path, options).catch(() => {
    throw unreachable();
  });
  if (!response.ok) throw await refusal(response);
  const less = response.headers.get("lineshaft-degraded");
  if (less) session.dispatchEvent(new CustomEvent("degraded", { detail: less }));
  if (response.status === 204) return null;
  return response.json().catch(() => {
    throw unreachable();
  });
}

/**
 * Read a text. Throws ApiError.
 * @param {string} path
 * @returns {Promise<string>}
 */
export async function getText(path) {
  const response = await fetch(path, { credentials: "same-origin", cache: "no-store" }).catch(() => {
    throw unreachable();
  });
  if (!response.ok) throw await refusal(response);
  return response.text();
}

/** @param {string} path */
export const get = (path) => request("GET", path);

/**
 * @param {string} path
 * @param {unknown} body
 */
export const post = (path, body) => request("POST", path, body);

/**
 * Build a path from parts that are escaped each.
 * @param {TemplateStringsArray} texts
 * @param {...string} parts
 */
export function path(texts, ...parts) {
  return texts.reduce((built, text, at) => built + encodeURIComponent(parts[at - 1]) + text);
}

/** @returns {string} an id that nobody else has, also where the page is not served over TLS. */
export function freshId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (each) => each.toString(16).padStart(2, "0")).join("");
}
