// Elements made from data: strings become text, never markup.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  close: ["M5 5l10 10", "M15 5L5 15"],
  check: ["M4 10.5l4 4 8-9"],
  plus: ["M10 4v12", "M4 10h12"],
  minus: ["M4 10h12"],
  whole: ["M4 8V4h4", "M12 4h4v4", "M16 12v4h-4", "M8 16H4v-4"],
  focus: ["M10 3v3", "M10 14v3", "M3 10h3", "M14 10h3", "M10 6.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7"],
  picture: ["M3 4.5h14v11H3z", "M3 13l4-4 4 4 2-2 4 4", "M13 8h.01"],
  broken: ["M10 3.5L18 16.5H2z", "M10 8.5v3.5", "M10 14.3h.01"],
  up: ["M10 15V5", "M5.5 9.5L10 5l4.5 4.5"],
  down: ["M10 5v10", "M5.5 10.5L10 15l4.5-4.5"],
};

/**
 * Makes an element.
 * @param {string} tag
 * @param {Object<string, any>} settings Attributes; functions listen to the event of their name; true, false, null and
 *   undefined set an empty attribute or none.
 * @param {...(Node|string|null|undefined|false)} children
 */
export function make(tag, settings = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** A drawing that assistive technology passes over; the text beside it says what it means. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  for (const [key, value] of [["viewBox", "0 0 20 20"], ["class", "icon"], ["aria-hidden", "true"]]) {
    drawing.setAttribute(key, value);
  }
  for (const line of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", line);
    drawing.append(path);
  }
  return drawing;
}

/** Text for those who listen. */
export const spoken = (text) => make("span", { class: "hidden" }, text);
