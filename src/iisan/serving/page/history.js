// What somebody looked at, oldest first: kept, shown, and told to whoever listens.

import { announce } from "./announcer.js";
import { icon, make, spoken } from "./element.js";
import { counted } from "./numbers.js";
import { nameOf, picture } from "./picture.js";
import { empty, filled } from "./states.js";

// Longer than what models read, short enough for a link.
export const MOST = 50;

export class History extends EventTarget {
  #items = [];

  get items() {
    return this.#items;
  }

  get ids() {
    return this.#items.map((one) => one.item_id);
  }

  has(id) {
    return this.#items.some((one) => one.item_id === id);
  }

  add(item) {
    if (this.has(item.item_id)) return;
    this.replace([...this.#items, item]);
  }

  remove(id) {
    this.replace(this.#items.filter((one) => one.item_id !== id));
  }

  toggle(item) {
    if (this.has(item.item_id)) this.remove(item.item_id);
    else this.add(item);
  }

  /** @param {{item_id: string, title: string|null, picture: string|null}[]} items */
  replace(items) {
    this.#items = items.slice(-MOST);
    this.dispatchEvent(new Event("change"));
  }
}

/** Shows a history as a strip that items can be taken out of. */
export class HistoryStrip {
  #history;
  #region = document.getElementById("history");
  #count = document.getElementById("history-count");
  #clear = document.getElementById("clear");

  constructor(history) {
    this.#history = history;
    this.#clear.addEventListener("click", () => {
      history.replace([]);
      document.getElementById("query").focus();
      announce("The history is empty");
    });
    history.addEventListener("change", () => this.show());
    this.show();
  }

  show() {
    const items = this.#history.items;
    this.#clear.hidden = items.length === 0;
    this.#count.textContent = items.length > 1 ? `${counted(items.length, "item")}, oldest first` : items.length ? "1 item" : "";
    if (items.length === 0) {
      empty(this.#region, "Nothing picked yet", "Pick items of the catalogue that somebody looked at, oldest first.");
      return;
    }
    const list = make("ol", { class: "strip", "aria-labelledby": "history-title" }, ...items.map((item, place) => this.#one(item, place)));
    filled(this.#region, list);
    list.scrollLeft = list.scrollWidth;
  }

  #one(item, place) {
    const name = nameOf(item);
    const remove = () => {
      this.#history.remove(item.item_id);
      announce(`${name} taken out of the history`);
      const left = this.#region.querySelectorAll(".take");
      (left[Math.min(place, left.length - 1)] ?? document.getElementById("query")).focus();
    };
    const take = make("button", { type: "button", class: "take", title: "Take out", click: remove, keydown: (event) => {
      if (event.key !== "Delete" && event.key !== "Backspace") return;
      event.preventDefault();
      remove();
    } }, icon("close"), spoken(`Take ${name} out of the history`));
    return make("li", { class: "seen", title: name }, picture(item), make("span", { class: "seen-title" }, name), take);
  }
}
