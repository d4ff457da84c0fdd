// Makes elements. Text goes in as text: nothing in this page parses HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element; attributes that are null or false are left out, `on` holds listeners. */
export function make(tag, attributes, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function draw(tag, attributes, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

export const at = (id) => document.getElementById(id);

/** Writes only what changed: readers of screens and of text selections are not disturbed. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Shows items as children, in order. One whose item is the same stays the same element, so that focus,
 * selection and open details outlive an update.
 */
export function list(parent, items, keyOf, build) {
  const known = (parent.known ??= new Map());
  const next = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    const mark = JSON.stringify(item);
    let entry = known.get(key);
    if (!entry || entry.mark !== mark) {
      const element = build(item);
      if (entry) {
        const focused = entry.element.contains(document.activeElement);
        if (place === entry.element) place = element;
        entry.element.replaceWith(element);
        if (focused) (element.querySelector("button, a, summary") ?? element).focus();
      }
      entry = { element, mark };
    }
    next.set(key, entry);
    if (entry.element === place) place = place.nextSibling;
    else parent.insertBefore(entry.element, place);
  }
  for (const [key, { element }] of known) if (!next.has(key)) element.remove();
  parent.known = next;
}

/** A table in a box that scrolls by itself; columns are `[title, class]`. */
export function table(label, columns) {
  const body = make("tbody");
  const head = columns.map(([title, kind]) => make("th", { scope: "col", class: kind }, title));
  const element = make("div", { class: "scroll", role: "group", "aria-label": label, tabindex: "0" },
    make("table", null, make("thead", null, make("tr", null, head)), body));
  return { element, body };
}

/** What a panel shows while there is nothing. */
export function empty(...children) {
  return make("p", { class: "empty" }, ...children);
}
