// Shows the OpenAPI document of this server. Everything that comes from the document goes into the page as text.
"use strict";

const METHODS = ["get", "post", "put", "delete"];

/** Makes an element; children are elements or texts. */
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** Turns the little Markdown that the document has into elements: paragraphs, `code` and **bold**. */
function prose(text) {
  return text.split("\n\n").map((paragraph) => {
    const made = element("p");
    for (const part of paragraph.split(/(`[^`]+`|\*\*[^*]+\*\*)/)) {
      if (part.startsWith("`")) {
        made.append(element("code", null, part.slice(1, -1)));
      } else if (part.startsWith("**")) {
        made.append(element("strong", null, part.slice(2, -2)));
      } else {
        made.append(part);
      }
    }
    return made;
  });
}

/** Returns a type in a few words. */
function typeText(schema) {
  if (schema.enum) {
    return schema.enum.join(" | ");
  }
  if (schema.anyOf) {
    return schema.anyOf.map(typeText).join(" or ");
  }
  if (schema.type === "array") {
    return `list of ${typeText(schema.items)}`;
  }
  if (schema.type === undefined) {
    return "anything";
  }
  const limits = [];
  if (schema.minimum !== undefined || schema.maximum !== undefined) {
    limits.push(`${schema.minimum ?? ""} to ${schema.maximum ?? ""}`.trim());
  }
  if (schema.minLength !== undefined || schema.maxLength !== undefined) {
    limits.push(`${schema.minLength ?? 0} to ${schema.maxLength ?? "any number of"} characters`);
  }
  return limits.length ? `${schema.type}, ${limits.join(", ")}` : schema.type;
}

/** Returns the parameters of an operation, those of the body included. */
function parameters(operation) {
  const outer = (operation.parameters ?? []).map((parameter) => ({ place: parameter.in, ...parameter }));
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  const required = body?.required ?? [];
  const inner = Object.entries(body?.properties ?? {}).map(([name, schema]) => {
    return { name, place: "body", schema, description: schema.description, required: required.includes(name) };
  });
  return outer.concat(inner);
}

function parameterTable(list) {
  const rows = list.map((parameter) => {
    const { schema } = parameter;
    const notes = [parameter.description ?? ""];
    if (schema.default !== undefined) {
      notes.push(`default ${schema.default}`);
    }
    const pattern = schema.pattern ?? schema.items?.pattern;
    const form = element("td", null, notes.filter((note) => note).join("; "));
    if (pattern) {
      form.append(element("br"), element("code", null, pattern));
    }
    return element("tr", null,
      element("td", null, parameter.name),
      element("td", null, typeText(schema)),
      element("td", null, parameter.required ? `${parameter.place}, required` : parameter.place),
      form);
  });
  const head = element("tr", null, ...["Name", "Type", "Where", "Meaning"].map((text) => element("th", { scope: "col" }, text)));
  return element("div", { class: "scroll" }, element("table", null, element("thead", null, head), element("tbody", null, ...rows)));
}

/** Returns the members of a schema as nested lists. */
function shape(schema) {
  if (schema.anyOf) {
    const inner = schema.anyOf.map(shape).filter((made) => made !== null);
    return inner.length ? element("div", null, ...inner) : null;
  }
  if (schema.type === "array") {
    return shape(schema.items);
  }
  if (schema.additionalProperties && typeof schema.additionalProperties === "object") {
    return shape(schema.additionalProperties);
  }
  const members = Object.entries(schema.properties ?? {});
  if (!members.length) {
    return null;
  }
  const required = schema.required ?? [];
  return element("ul", { class: "shape" }, ...members.map(([name, member]) => {
    const note = [typeText(member), required.includes(name) ? null : "may be absent"].filter((text) => text).join("; ");
    const meaning = member.description ?? member.title;
    return element("li", null, element("code", null, name), element("span", { class: "dim" }, ` ${note}`),
      meaning ? ` – ${meaning}` : null, shape(member));
  }));
}

function answers(operation, components) {
  const parts = [element("h3", null, "Answer")];
  for (const [status, given] of Object.entries(operation.responses)) {
    if (400 <= Number(status)) {
      continue;
    }
    const contents = Object.entries(given.content ?? {});
    parts.push(element("p", null, element("strong", null, status), ` ${given.description}`));
    for (const [type, { schema }] of contents) {
      if (schema) {
        const { data } = schema.properties;
        parts.push(element("p", null, "JSON; ", element("code", null, "data"), `: ${typeText(data)}${data.title ? ` (${data.title})` : ""}`));
        parts.push(shape(schema));
      } else {
        parts.push(element("p", null, "A body of type ", element("code", null, type)));
      }
    }
  }
  const failures = Object.entries(operation.responses).filter(([status]) => 400 <= Number(status));
  parts.push(element("h3", null, "Fails with"));
  parts.push(element("ul", null, ...failures.map(([status, { $ref }]) => {
    const described = components.responses[$ref.split("/").pop()];
    return element("li", null, element("strong", null, status), ` ${described.description}`);
  })));
  return parts;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Returns a command that calls the operation with what it needs at least. */
function example(path, method, operation) {
  const needed = parameters(operation).filter((parameter) => parameter.required && parameter.place !== "path");
  const word = (parameter) => `${parameter.name}=${parameter.schema.enum?.[0] ?? parameter.name.toUpperCase()}`;
  const query = needed.filter((parameter) => parameter.place === "query").map(word).join("&");
  const url = `${location.origin}/api2/json${path}${query ? `?${query}` : ""}`;
  const lines = ["curl"];
  if (!operation.security || operation.security.length) {
    lines[0] += ` -H ${quoted("Authorization: PBSAPIToken=USER@REALM!NAME:SECRET")}`;
  }
  if (method !== "get") {
    lines[0] += ` -X ${method.toUpperCase()}`;
  }
  lines.push(...needed.filter((parameter) => parameter.place === "body").map((parameter) => `  --data-urlencode ${quoted(word(parameter))}`));
  lines.push(`  ${quoted(url)}`);
  return lines.join(" \\\n");
}

function call(path, method, operation, components) {
  const made = element("details", { id: operation.operationId },
    element("summary", null,
      element("span", { class: `method ${method}` }, method.toUpperCase()),
      element("span", { class: "path" }, path),
      element("span", { class: "what" }, operation.summary)));
  let isFilled = false;
  made.addEventListener("toggle", () => {
    if (isFilled || !made.open) {
      return;
    }
    isFilled = true;
    made.append(...prose(operation.description ?? ""));
    const list = parameters(operation);
    if (list.length) {
      made.append(element("h3", null, "Parameters"), parameterTable(list));
    }
    made.append(...answers(operation, components).filter((part) => part !== null));
    made.append(element("h3", null, "Example"), element("pre", { tabindex: "0" }, example(path, method, operation)));
  });
  const words = [method, path, operation.summary, operation.description, ...parameters(operation).map((p) => p.name)];
  made.dataset.words = words.join(" ").toLowerCase();
  return made;
}

function show(spec) {
  document.getElementById("about-text").append(...prose(spec.info.description));
  const areas = new Map();
  for (const path of Object.keys(spec.paths).sort()) {
    for (const method of METHODS.filter((method) => spec.paths[path][method])) {
      const operation = spec.paths[path][method];
      const [tag] = operation.tags;
      if (!areas.has(tag)) {
        areas.set(tag, []);
      }
      areas.get(tag).push(call(path, method, operation, spec.components));
    }
  }
  const main = document.getElementById("calls");
  const list = element("ul");
  for (const tag of [...areas.keys()].sort()) {
    const id = `area-${tag}`;
    main.append(element("section", { "aria-labelledby": id }, element("h2", { id }, tag), ...areas.get(tag)));
    list.append(element("li", null, element("a", { href: `#${id}` }, tag, element("span", null, String(areas.get(tag).length)))));
  }
  document.getElementById("areas").append(list);
}

/** Hides what does not hold all words of the search. */
function search() {
  const words = document.getElementById("search").value.toLowerCase().split(/\s+/).filter((word) => word);
  let count = 0;
  for (const section of document.querySelectorAll("section")) {
    let here = 0;
    for (const made of section.querySelectorAll("details")) {
      made.hidden = !words.every((word) => made.dataset.words.includes(word));
      here += made.hidden ? 0 : 1;
    }
    section.hidden = here === 0;
    count += here;
  }
  document.getElementById("about").hidden = words.length !== 0;
  document.getElementById("count").textContent = `${count} calls`;
}

/** Opens the call that the address names. */
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.querySelector("summary").focus();
  }
}

/** Goes to the next or previous call that is shown. */
function step(by) {
  const shown = [...document.querySelectorAll("main details:not([hidden]) > summary")].filter((made) => made.offsetParent);
  const at = shown.indexOf(document.activeElement);
  const next = shown[at < 0 ? 0 : at + by];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  const field = document.getElementById("search");
  const isTyping = document.activeElement === field;
  if (event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  if (event.key === "/" && !isTyping) {
    field.focus();
    field.select();
  } else if (event.key === "ArrowDown" && (isTyping || document.activeElement?.tagName === "SUMMARY")) {
    step(1);
  } else if (event.key === "ArrowUp" && document.activeElement?.tagName === "SUMMARY") {
    step(-1);
  } else if (event.key === "Escape") {
    field.value = "";
    search();
  } else {
    return;
  }
  event.preventDefault();
}

async function start() {
  const field = document.getElementById("search");
  field.form.addEventListener("submit", (event) => event.preventDefault());
  field.addEventListener("input", search);
  document.addEventListener("keydown", onKey);
  window.addEventListener("hashchange", openNamed);
  try {
    const answer = await fetch("/api2/json/farhold/openapi");
    if (!answer.ok) {
      throw new Error(`status ${answer.status}`);
    }
    show(await answer.json());
  } catch (error) {
    const problem = document.getElementById("problem");
    problem.textContent = `The OpenAPI document cannot be loaded: ${error.message}`;
    problem.hidden = false;
    return;
  }
  search();
  openNamed();
}

start();
