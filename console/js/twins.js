// Names pools, and marks those that the twin makes up, wherever one is named.

import { el } from "./dom.js";
import { simulated } from "./show.js";

const TWIN = "twin";
/** @type {Set<string>} */
const twins = new Set();

/**
 * Learn which pools are not real.
 * @param {{name: string, provider: string}[]} pools as the API lists them
 * @returns {string[]} their names
 */
export function learnPools(pools) {
  for (const pool of pools) if (pool.provider === TWIN) twins.add(pool.name);
  return pools.map((pool) => pool.name);
}

/** @param {string|null|undefined} name @returns {any} the pool's name, marked where what is in it is simulated */
export function poolNamed(name) {
  if (!name) return "–";
  return twins.has(name) ? el("span", {}, name, " ", simulated()) : name;
}
