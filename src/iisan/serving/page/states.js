// What a region shows when it has nothing to show: waiting, empty, failed.

import { icon, make } from "./element.js";

const MOST_WAITING = 30;
// By region: what is to be tried again.
const failures = new Map();

/** Grey cards in the place of those to come. */
export function waiting(region, number, kind) {
  region.setAttribute("aria-busy", "true");
  const cards = Array.from({ length: number }, () =>
    make("li", { class: "card ghost" }, make("span", { class: "picture" }), make("span", { class: "line" }), make("span", { class: "line short" })));
  region.replaceChildren(make("ul", { class: kind, "aria-hidden": "true" }, ...cards));
}

export function filled(region, ...content) {
  failures.delete(region);
  region.removeAttribute("aria-busy");
  region.replaceChildren(...content);
}

/**
 * @param {Element} region
 * @param {string} title
 * @param {string} text
 * @param {...Element} more
 */
export function empty(region, title, text, ...more) {
  filled(region, make("div", { class: "state" }, make("p", { class: "state-title" }, title), make("p", {}, text), ...more));
}

/**
 * A problem with a way on. One button tries again all that failed; a service that is not ready is asked again by itself.
 * @param {Element} region
 * @param {import("./api.js").Problem} problem
 * @param {() => void} retry
 */
export function failed(region, problem, retry) {
  const again = () => {
    clearTimeout(timer);
    const tried = [...failures].filter(([place]) => place.isConnected).map(([, one]) => one);
    for (const { button } of tried) {
      button.disabled = true;
      button.textContent = "Trying…";
    }
    failures.clear();
    for (const call of new Set(tried.map((one) => one.retry))) call();
  };
  const button = make("button", { type: "button", class: "quiet", click: again }, "Try again");
  const state = make("div", { class: "state failed", role: "alert" },
    icon("broken"), make("p", { class: "state-title" }, problem.title), make("p", {}, problem.detail || problem.message), button);
  filled(region, state);
  failures.set(region, { button, retry });
  const timer = problem.status === 503 && problem.after
    ? setTimeout(() => { if (state.isConnected) again(); }, Math.min(problem.after, MOST_WAITING) * 1000)
    : 0;
}
