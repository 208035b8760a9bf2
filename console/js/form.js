// Forms: fields with labels, one button, and the refusal where it was asked for.

import { ApiError } from "./api.js";
import { announce, el } from "./dom.js";
import { tried } from "./show.js";

/**
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {"text"|"number"|"select"|"check"|"json"|"long"|"moment"|"file"} [kind]
 * @property {(string|[string, string])[]} [options] of a select
 * @property {string} [value] that stands there at first
 * @property {boolean} [required]
 * @property {string} [hint] what is taken where nothing is written
 * @property {number} [least]
 * @property {number} [most]
 * @property {number} [characters]
 */
/** @typedef {Record<string, any>} Values */

let fields = 0;

/**
 * A field with its label.
 * @param {Field} field
 * @returns {{labelled: any[], input: any}}
 */
export function control(field) {
  const id = `field-${++fields}`;
  const input = made(field, id);
  if (field.kind === "check") return { labelled: [el("label.check", { for: id }, input, ` ${field.label}`)], input };
  return { labelled: [el("label", { for: id }, field.label), input], input };
}

/** @param {Field} field @param {string} id */
function made(field, id) {
  const { name, value, required, hint } = field;
  const common = { id, name, required: required ?? false, autocomplete: "off" };
  if (field.kind === "select") return el("select", common, ...(field.options ?? []).map((each) => option(each, value)));
  if (field.kind === "check") return el("input", { ...common, type: "checkbox", checked: value === "true" });
  if (field.kind === "json" || field.kind === "long") {
    return el("textarea", { ...common, rows: field.kind === "json" ? "6" : "3", spellcheck: field.kind === "json" ? "false" : null, placeholder: hint }, value);
  }
  const types = { number: "number", moment: "datetime-local", file: "file" };
  const bounds = { min: field.least?.toString(), max: field.most?.toString(), step: field.kind === "number" ? "any" : null, maxlength: field.characters?.toString() };
  return el("input", { ...common, ...bounds, type: types[field.kind ?? ""] ?? "text", value, placeholder: hint });
}

/** @param {string|[string, string]} each @param {string} [chosen] */
function option(each, chosen) {
  const [value, words] = typeof each === "string" ? [each, each] : each;
  return el("option", { value, selected: value === chosen }, words);
}

/**
 * A form. Its fields are emptied once what it asks for was done.
 * @param {{name: string, fields: Field[], yes: string, said?: string, keep?: boolean}} form `said`: told to screen readers when it was done
 * @param {(values: Values) => Promise<unknown>} act
 */
export function form({ name, fields: wanted, yes, said, keep }, act) {
  const controls = wanted.map((field) => ({ field, ...control(field) }));
  const trouble = el("div", { role: "alert" });
  const button = el("button.primary", { type: "submit" }, yes);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    button.disabled = true;
    const done = await tried(trouble, async () => act(valuesOf(controls)));
    button.disabled = false;
    if (done && said) announce(said);
    if (done && !keep) /** @type {HTMLFormElement} */ (event.target).reset?.();
  };
  const rows = controls.flatMap(({ field, labelled }) => (field.kind === "check" ? [el("span"), ...labelled] : labelled));
  return el("form.fields", { submit, "aria-label": name }, ...rows, button, trouble);
}

/**
 * The same, folded away until it is wanted.
 * @param {Parameters<typeof form>[0]} wanted
 * @param {(values: Values) => Promise<unknown>} act
 */
export const folded = (wanted, act) => el("details", {}, el("summary", {}, wanted.name), form(wanted, act));

/** @param {{field: Field, input: any}[]} controls @returns {Values} what was filled in; fields that are empty are left out */
function valuesOf(controls) {
  /** @type {Values} */
  const values = {};
  for (const { field, input } of controls) {
    if (field.kind === "check") values[field.name] = input.checked;
    else if (field.kind === "file") values[field.name] = input.files[0];
    else if (input.value.trim() !== "") values[field.name] = valueOf(field, input.value);
  }
  return values;
}

/** @param {Field} field @param {string} text */
function valueOf(field, text) {
  if (field.kind === "number") return Number(text);
  if (field.kind === "moment") return new Date(text).toISOString();
  if (field.kind !== "json") return text.trim();
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = `“${field.label}” is no JSON: ${/** @type {Error} */ (error).message}.`;
    throw new ApiError({ status: 0, code: "not_json", reason, remedy: "Check brackets, quotes and commas." });
  }
}

/** @param {string} text of a field: words with commas between */
export const listed = (text) => (text ?? "").split(",").map((/** @type {string} */ each) => each.trim()).filter(Boolean);
