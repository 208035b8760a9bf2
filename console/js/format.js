// Puts numbers, moments and arguments into words.

/** @typedef {import("./types.js").Price} Price */

const MONEY = { minimumFractionDigits: 2, maximumFractionDigits: 6 };

/**
 * @param {string|number} amount
 * @param {string} currency
 */
export function money(amount, currency) {
  return `${Number(amount).toLocaleString("en", MONEY)} ${currency}`;
}

/**
 * @param {Price} price
 * @returns {string} "0.01 to 0.20 USD", one amount where both are equal, or "no charge".
 */
export function priceRange(price) {
  const [low, high] = [Number(price.low), Number(price.high)];
  if (high === 0) return "no charge";
  return low === high ? money(high, price.currency) : `${low.toLocaleString("en", MONEY)} to ${money(high, price.currency)}`;
}

/** @param {string} at */
export function moment(at) {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** @param {string} at */
export function clock(at) {
  return new Date(at).toLocaleTimeString(undefined, { timeStyle: "short" });
}

/**
 * @param {string} from
 * @param {string} to
 */
export function elapsed(from, to) {
  const seconds = Math.max(0, (Date.parse(to) - Date.parse(from)) / 1000);
  return seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/**
 * @param {unknown} value an argument or a result's field
 * @returns {string} references in words, texts as they are, all else as JSON.
 */
export function spelled(value) {
  if (typeof value === "string") return value === "" ? "(empty)" : value;
  if (typeof value === "object" && value !== null && "from_step" in value && "field" in value) {
    return `${value.field} of step ${value.from_step}`;
  }
  return JSON.stringify(value);
}

/** @param {number} count @param {string} noun */
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
