// The catalogue: search by title, pick by picture.

import * as api from "./api.js";
import { announce } from "./announcer.js";
import { icon, make } from "./element.js";
import { count, counted } from "./numbers.js";
import { nameOf, picture } from "./picture.js";
import { empty, failed, filled, waiting } from "./states.js";

const PAUSE = 150;
const STEP = 24;
const MOST = 96;

export class Catalogue {
  #history;
  #query = document.getElementById("query");
  #region = document.getElementById("results");
  #found = document.getElementById("found");
  #limit = STEP;
  #timer = 0;
  #asked = null;
  #buttons = new Map();
  #size = null;

  constructor(history) {
    this.#history = history;
    document.getElementById("search").addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.#query.addEventListener("input", () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.search(), PAUSE);
    });
    this.#query.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown") return;
      event.preventDefault();
      this.#region.querySelector("button")?.focus();
    });
    this.#region.addEventListener("keydown", (event) => this.#walk(event));
    history.addEventListener("change", () => this.#mark());
  }

  /** @param {number} size Items in the whole catalogue. */
  set size(size) {
    this.#size = size;
  }

  async search() {
    clearTimeout(this.#timer);
    this.#limit = STEP;
    await this.#ask();
  }

  async #ask() {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    const query = this.#query.value.trim();
    const slow = setTimeout(() => waiting(this.#region, 8, "grid small"), this.#buttons.size ? 400 : 0);
    try {
      const items = await api.search(query, this.#limit, asked.signal);
      clearTimeout(slow);
      this.#show(items, query);
    } catch (error) {
      clearTimeout(slow);
      if (asked.signal.aborted) return;
      this.#buttons.clear();
      this.#found.textContent = "";
      failed(this.#region, error, () => this.#ask());
    }
  }

  #show(items, query) {
    this.#buttons.clear();
    if (items.length === 0) {
      this.#found.textContent = "";
      announce("No items found");
      const clear = () => { this.#query.value = ""; this.#query.focus(); this.search(); };
      empty(this.#region, "Nothing found", query ? `No title has “${query}” in it.` : "This catalogue is empty.",
        ...(query ? [make("button", { type: "button", class: "quiet", click: clear }, "Show all")] : []));
      return;
    }
    const more = items.length >= this.#limit && this.#limit < MOST;
    const said = query ? `${count(items.length)}${items.length >= this.#limit ? "+" : ""} found` : this.#size === null ? "" : counted(this.#size, "item");
    this.#found.textContent = said;
    if (query) announce(counted(items.length, "item") + " found");
    const cards = items.map((item) => make("li", { class: "card" }, this.#button(item)));
    const further = make("button", { type: "button", class: "quiet wide", click: () => this.#further() }, "Show more");
    filled(this.#region, make("ul", { class: "grid small", "aria-labelledby": "catalogue-title" }, ...cards), ...(more ? [further] : []));
    this.#mark();
  }

  #button(item) {
    const name = nameOf(item);
    const pick = () => {
      this.#history.toggle(item);
      announce(`${name} ${this.#history.has(item.item_id) ? "added to" : "taken out of"} the history`);
    };
    const button = make("button", { type: "button", class: "pick", title: name, click: pick },
      picture(item), make("span", { class: "card-title" }, name), make("span", { class: "tick" }, icon("check")));
    this.#buttons.set(item.item_id, button);
    return button;
  }

  #mark() {
    for (const [id, button] of this.#buttons) button.setAttribute("aria-pressed", String(this.#history.has(id)));
  }

  async #further() {
    const place = this.#buttons.size;
    this.#limit = Math.min(this.#limit + STEP, MOST);
    await this.#ask();
    [...this.#buttons.values()][place]?.focus();
  }

  /** Arrow keys walk through the cards as they lie on the screen. */
  #walk(event) {
    const buttons = [...this.#buttons.values()];
    const place = buttons.indexOf(document.activeElement);
    if (place < 0 || !event.key.startsWith("Arrow")) return;
    const tops = buttons.map((one) => one.getBoundingClientRect().top);
    const columns = Math.max(tops.filter((top) => Math.abs(top - tops[0]) < 4).length, 1);
    const target = place + { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    event.preventDefault();
    if (target < 0) this.#query.focus();
    else buttons[Math.min(target, buttons.length - 1)].focus();
  }
}
