// Making elements, and keeping a list of them in step with a list of data.

/** An element: `h("p", { class: "note" }, "text")`. Functions become event listeners. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

/** An icon of `icons.svg`; decoration only, so the button around it needs a label. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `/static/lib/icons.svg#${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/**
 * Make the children of `container` those of `rows`, in this order. What has not changed keeps its
 * element, so that focus and scrolling stay where they are.
 */
export function keep(container, rows, keyOf, make) {
  const old = container.kept ?? new Map();
  const kept = new Map();
  const focused = document.activeElement?.closest?.("[data-focus]")?.dataset.focus;
  let place = container.firstElementChild;
  for (const row of rows) {
    const key = keyOf(row);
    const text = JSON.stringify(row);
    let entry = old.get(key);
    if (entry?.text !== text) {
      const element = make(row);
      if (entry?.element === place) place = place.nextElementSibling;
      entry?.element.remove();
      entry = { text, element };
    }
    kept.set(key, entry);
    old.delete(key);
    if (entry.element === place) place = place.nextElementSibling;
    else container.insertBefore(entry.element, place);
  }
  for (const { element } of old.values()) element.remove();
  container.kept = kept;
  if (focused && document.activeElement === document.body) {
    container.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
  }
}

/** Milliseconds for people: "340 ms", "2.4 s", "3 min". */
export function duration(ms) {
  if (ms == null) return "";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.round(ms / 60_000)} min`;
}

/** A time of day in the reader's own way of writing it. */
export function clock(unixMs) {
  return new Date(unixMs).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}
