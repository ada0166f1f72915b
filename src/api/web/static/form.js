// A form from a JSON Schema; a field of JSON where a schema says too little.

import { h, pretty } from "./dom.js";

let count = 0;

// { element, read }: `read` answers the value, or null after it has marked what is wrong.
export function formOf(schema, value = {}) {
  if (!schema || schema.type !== "object" && !schema.properties) return jsonField("Context (JSON)", value, { isObject: true });
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, part]) => [name, fieldOf(name, part, value?.[name] ?? part.default, required.has(name))]);
  const element = h("div", null, fields.map(([, field]) => field.element));
  if (!fields.length) element.append(h("p", { class: "hint" }, "Nothing is asked for."));
  return {
    element,
    read() {
      const read = fields.map(([name, field]) => [name, field.read()]);
      if (read.some(([, found]) => found === null)) return null;
      return Object.fromEntries(read.filter(([, found]) => found.value !== undefined).map(([name, found]) => [name, found.value]));
    },
  };
}

function fieldOf(name, schema, value, isRequired) {
  const title = schema.title ?? name;
  if (schema.enum) return choiceField(title, schema, value, isRequired);
  const type = Array.isArray(schema.type) ? schema.type.find((each) => each !== "null") : schema.type;
  if (type === "boolean") return checkField(title, schema, value);
  if (type === "integer" || type === "number") return numberField(title, schema, value, isRequired, type === "integer");
  if (type === "object" && schema.properties) return groupField(title, schema, value);
  if (type === "string") return textField(title, schema, value, isRequired);
  const field = jsonField(title, value, { schema, isRequired });
  return { element: field.element, read: () => { const found = field.read(); return found === null ? null : { value: found === field.nothing ? undefined : found }; } };
}

function frame(title, schema, input, isRequired) {
  const id = `field-${count += 1}`;
  input.id = id;
  const wrong = h("p", { class: "wrong", id: `${id}-wrong`, role: "alert" });
  input.setAttribute("aria-describedby", `${id}-wrong${schema.description ? ` ${id}-help` : ""}`);
  if (isRequired) input.setAttribute("aria-required", "true");
  const element = h("div", { class: "field" },
    h("label", { for: id }, title, isRequired ? h("span", { class: "must" }, " needed") : null), input,
    schema.description ? h("p", { class: "help", id: `${id}-help` }, schema.description) : null, wrong);
  const check = (problem) => {
    wrong.textContent = problem ?? "";
    input.setAttribute("aria-invalid", String(Boolean(problem)));
    if (problem) input.focus();
    return problem ? null : undefined;
  };
  return { element, check };
}

const KINDS = { email: "email", date: "date", uri: "url", "date-time": "datetime-local" };

function textField(title, schema, value, isRequired) {
  const isLong = (schema.maxLength ?? 0) > 200 || String(value ?? "").includes("\n");
  const input = isLong ? h("textarea", { rows: 4, value: value ?? "" }) : h("input", { type: KINDS[schema.format] ?? "text", value: value ?? "" });
  const { element, check } = frame(title, schema, input, isRequired);
  return { element, read() {
    const text = input.value;
    if (!text && !isRequired) return check() ?? { value: undefined };
    if (text.length < (schema.minLength ?? (isRequired ? 1 : 0))) return check(`At least ${schema.minLength ?? 1} characters are needed.`);
    if (schema.maxLength !== undefined && text.length > schema.maxLength) return check(`At most ${schema.maxLength} characters.`);
    return check() ?? { value: text };
  } };
}

function numberField(title, schema, value, isRequired, isWhole) {
  const input = h("input", { type: "number", step: isWhole ? "1" : "any", min: schema.minimum, max: schema.maximum, value: value ?? "" });
  const { element, check } = frame(title, schema, input, isRequired);
  return { element, read() {
    if (input.value === "") return isRequired || input.validity.badInput ? check("A number is needed.") : check() ?? { value: undefined };
    const number = Number(input.value);
    if (isWhole && !Number.isInteger(number)) return check("A whole number is needed.");
    if (number < (schema.minimum ?? -Infinity)) return check(`At least ${schema.minimum}.`);
    if (number > (schema.maximum ?? Infinity)) return check(`At most ${schema.maximum}.`);
    return check() ?? { value: number };
  } };
}

function choiceField(title, schema, value, isRequired) {
  const options = schema.enum.map((each, place) => h("option", { value: place, selected: each === value }, String(each)));
  const input = h("select", null, isRequired && value !== undefined ? null : h("option", { value: "" }, "—"), options);
  const { element, check } = frame(title, schema, input, isRequired);
  return { element, read() {
    if (input.value === "") return isRequired ? check("One of these is needed.") : check() ?? { value: undefined };
    return check() ?? { value: schema.enum[Number(input.value)] };
  } };
}

function checkField(title, schema, value) {
  const input = h("input", { type: "checkbox", checked: value === true });
  const element = h("div", { class: "field" }, h("label", null, input, title), schema.description ? h("p", { class: "help" }, schema.description) : null);
  return { element, read: () => ({ value: input.checked }) };
}

function groupField(title, schema, value) {
  const inner = formOf(schema, value ?? {});
  return { element: h("fieldset", null, h("legend", null, title), inner.element), read() {
    const found = inner.read();
    return found === null ? null : { value: found };
  } };
}

export function jsonField(title, value, { schema = {}, isRequired = false, isObject = false } = {}) {
  const nothing = {};
  const text = value === undefined ? "" : pretty(value);
  const input = h("textarea", { class: "code", rows: Math.min(14, Math.max(4, text.split("\n").length)), spellcheck: "false", value: text });
  const { element, check } = frame(title, schema, input, isRequired);
  return { element, nothing, read() {
    if (!input.value.trim()) return isRequired ? check("A value is needed.") : check() ?? (isObject ? {} : nothing);
    let found;
    try { found = JSON.parse(input.value); } catch (error) { return check(`This is not JSON: ${error.message}`); }
    if (isObject && (found === null || typeof found !== "object" || Array.isArray(found))) return check("An object is needed: { … }");
    return check() ?? found;
  } };
}
