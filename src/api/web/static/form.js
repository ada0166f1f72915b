// A form from a JSON Schema; a field of JSON where a schema says too little.

import { h, pretty, visible } from "./dom.js";

let count = 0;

// { element, read, now, blame }: `read` answers the value, or null after it has marked what is wrong; `now` what stands
// there, right or wrong; `blame` shows what a server found wrong at its fields, and answers what belongs to none of them.
export function formOf(schema, value = {}) {
  if (!schema || schema.type !== "object" && !schema.properties) return jsonField("Context (JSON)", value, { isObject: true });
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties ?? {}).map(([name, part]) => [name, fieldOf(name, part, value?.[name] ?? part.default, required.has(name))]);
  const element = h("div", null, fields.map(([, field]) => field.element));
  if (!fields.length) element.append(h("p", { class: "hint" }, "Nothing is asked for."));
  return {
    element,
    now: () => Object.fromEntries(fields.filter(([, field]) => field.input).map(([name, field]) => [name, field.input.value])),
    blame(errors = [], base = "") {
      const rest = [];
      for (const error of [...errors].reverse()) { // so that the first of them has the focus in the end
        const found = fields.find(([name]) => isUnder(error.pointer, `${base}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`));
        if (found?.[1].check) found[1].check(error.detail);
        else rest.unshift(error);
      }
      return rest;
    },
    read() {
      const read = fields.map(([name, field]) => [name, field.read()]);
      if (read.some(([, found]) => found === null)) return null;
      return Object.fromEntries(read.filter(([, found]) => found.value !== undefined).map(([name, found]) => [name, found.value]));
    },
  };
}

const isUnder = (pointer, place) => pointer === place || pointer?.startsWith(`${place}/`);

function fieldOf(name, schema, value, isRequired) {
  const title = schema.title ?? name;
  if (schema.enum || schema.oneOf?.every((each) => "const" in each)) return choiceField(title, schema, value, isRequired);
  const type = Array.isArray(schema.type) ? schema.type.find((each) => each !== "null") : schema.type;
  if (type === "boolean") return checkField(title, schema, value);
  if (type === "integer" || type === "number") return numberField(title, schema, value, isRequired, type === "integer");
  if (type === "object" && schema.properties) return groupField(title, schema, value);
  if (type === "string") return textField(title, schema, value, isRequired);
  const field = jsonField(title, value, { schema, isRequired });
  return { ...field, read: () => { const found = field.read(); return found === null ? null : { value: found === field.nothing ? undefined : found }; } };
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
  if (visible(input.value ?? "") !== input.value) element.append(h("p", { class: "help" }, "It turns the direction of reading: ", h("code", null, input.value)));
  return { element, check };
}

const KINDS = { email: "email", date: "date", uri: "url", "date-time": "datetime-local" };

function textField(title, schema, value, isRequired) {
  const isLong = (schema.maxLength ?? 0) > 200 || String(value ?? "").includes("\n");
  const input = isLong ? h("textarea", { rows: 4, value: value ?? "" }) : h("input", { type: KINDS[schema.format] ?? "text", value: value ?? "" });
  const { element, check } = frame(title, schema, input, isRequired);
  if (schema.examples && !isLong) {
    input.setAttribute("list", `${input.id}-examples`);
    element.append(h("datalist", { id: `${input.id}-examples` }, schema.examples.map((each) => h("option", { value: each }))));
  }
  return { element, input, check, read() {
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
  return { element, input, check, read() {
    if (input.value === "") return isRequired || input.validity.badInput ? check("A number is needed.") : check() ?? { value: undefined };
    const number = Number(input.value);
    if (isWhole && !Number.isInteger(number)) return check("A whole number is needed.");
    if (number < (schema.minimum ?? -Infinity)) return check(`At least ${schema.minimum}.`);
    if (number > (schema.maximum ?? Infinity)) return check(`At most ${schema.maximum}.`);
    return check() ?? { value: number };
  } };
}

function choiceField(title, schema, value, isRequired) {
  const choices = schema.enum?.map((each) => ({ const: each })) ?? schema.oneOf;
  const options = choices.map((each, place) => h("option", { value: place, selected: each.const === value }, each.title ?? String(each.const)));
  const input = h("select", null, value !== undefined && (isRequired || schema.default !== undefined) ? null : h("option", { value: "" }, "—"), options);
  const { element, check } = frame(title, schema, input, isRequired);
  return { element, check, read() {
    if (input.value === "") return isRequired ? check("One of these is needed.") : check() ?? { value: undefined };
    return check() ?? { value: choices[Number(input.value)].const };
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
  return { element, check, nothing, blame: (errors = []) => errors, read() {
    if (!input.value.trim()) return isRequired ? check("A value is needed.") : check() ?? (isObject ? {} : nothing);
    let found;
    try { found = JSON.parse(input.value); } catch (error) { return check(`This is not JSON: ${error.message}`); }
    if (isObject && (found === null || typeof found !== "object" || Array.isArray(found))) return check("An object is needed: { … }");
    return check() ?? found;
  } };
}
