// What the model recommends after the history, and how that changes.

import * as api from "./api.js";
import { announce } from "./announcer.js";
import { icon, make, spoken } from "./element.js";
import { modalityName } from "./modality-names.js";
import { movesOf } from "./moves.js";
import { counted, ordinal, score } from "./numbers.js";
import { nameOf, picture } from "./picture.js";
import { empty, failed, filled, waiting } from "./states.js";

const SHOWN = 12;
// Places that are compared when a modality is switched off.
const COMPARED = 100;
// A list that comes sooner replaces the old one without a sign of waiting.
const PATIENCE = 250;
const SLIDE = { duration: 260, easing: "cubic-bezier(.2,.7,.2,1)" };
const UNPROCESSABLE = 422;
const NOT_READY = 503;

export class Recommendations extends EventTarget {
  #history;
  #modalities;
  #why;
  #region = document.getElementById("list");
  #note = document.getElementById("note");
  #asked = null;
  #whole = { ids: "", items: [] };
  #items = [];
  #example;

  /**
   * @param {import("./history.js").History} history
   * @param {import("./modalities.js").Modalities} modalities
   * @param {(item: object) => void} why Shows why an item is in the list.
   * @param {() => void} example Picks some items for somebody who only wants to see.
   */
  constructor(history, modalities, why, example) {
    super();
    this.#history = history;
    this.#modalities = modalities;
    this.#why = why;
    this.#example = example;
  }

  get items() {
    return this.#items;
  }

  async refresh() {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    const ids = this.#history.ids;
    if (ids.length === 0) {
      this.#hold([]);
      this.#say(null);
      const show = make("button", { type: "button", class: "strong", click: () => this.#example() }, "Try an example");
      empty(this.#region, "What would somebody want next?",
        "Pick a few items of the catalogue as if you had looked at them. The model ranks the rest, and says why.", show);
      this.#region.firstElementChild.classList.add("welcome");
      return;
    }
    const slow = setTimeout(() => this.#wait(), this.#items.length ? PATIENCE : 0);
    try {
      const [items, before] = await this.#ask(ids, this.#modalities.on, asked.signal);
      this.#show(items, before);
    } catch (error) {
      if (asked.signal.aborted) return;
      if (this.#computing(error)) this.#askAgain(error, asked.signal);
      else this.fail(error);
    } finally {
      clearTimeout(slow);
    }
  }

  /** The list, and with a modality off also the one with everything on. */
  async #ask(ids, modalities, signal) {
    if (modalities === null) {
      return [await api.recommend(ids, SHOWN, null, signal), null];
    }
    const key = JSON.stringify(ids);
    const [items, whole] = await Promise.all([
      api.recommend(ids, SHOWN, modalities, signal),
      this.#whole.ids === key ? this.#whole.items : api.recommend(ids, COMPARED, null, signal),
    ]);
    this.#whole = { ids: key, items: whole };
    return [items, whole];
  }

  #wait() {
    if (this.#items.length === 0) waiting(this.#region, SHOWN, "grid");
    else this.#region.setAttribute("aria-busy", "true");
  }

  fail(error, retry = () => this.refresh()) {
    this.#hold([]);
    this.#say(null);
    failed(this.#region, error, retry);
    if (error.status === UNPROCESSABLE && this.#modalities.off.length) {
      const all = make("button", { type: "button", class: "quiet", click: () => this.#modalities.allOn() }, "Switch everything on");
      this.#region.firstElementChild.append(all);
    }
  }

  /** Whether the service is still leaving the modality out of the catalogue. */
  #computing(error) {
    return error.status === NOT_READY && error.after > 0 && this.#modalities.on !== null;
  }

  #askAgain(error, signal) {
    this.#region.setAttribute("aria-busy", "true");
    this.#note.hidden = false;
    this.#note.textContent = `One moment: ${error.detail.split(";")[0]}.`;
    setTimeout(() => { if (!signal.aborted) this.refresh(); }, error.after * 1000);
  }

  #hold(items) {
    this.#items = items;
    this.dispatchEvent(new Event("change"));
  }

  #show(items, before) {
    const moves = before && movesOf(items, before);
    const places = this.#placesOnScreen();
    const focused = document.activeElement?.closest?.("#list [data-id]")?.dataset;
    this.#hold(items);
    if (items.length === 0) {
      this.#say(null);
      empty(this.#region, "Nothing left to recommend", "Every item of the catalogue is in the history.");
      return;
    }
    const list = make("ol", { class: "grid", "aria-labelledby": "recommendations-title" },
      ...items.map((item, place) => this.#card(item, place + 1, moves?.get(item.item_id))));
    filled(this.#region, list);
    this.#slide(places);
    this.#say(moves);
    if (focused) this.#focusOn(focused.id, Number(focused.place));
    announce(`${counted(items.length, "recommendation")}. First: ${nameOf(items[0])}`);
  }

  /** One who works with the keyboard stays at the same place of the new list. */
  #focusOn(id, place) {
    const cards = [...this.#region.querySelectorAll("[data-id]")];
    const card = cards.find((one) => one.dataset.id === id) ?? cards[Math.min(place, cards.length) - 1];
    card?.querySelector(".pick").focus({ preventScroll: true });
  }

  #card(item, place, move) {
    const name = nameOf(item);
    const pick = () => {
      this.#history.add(item);
      announce(`${name} added to the history`);
    };
    const facts = make("span", { class: "card-facts" },
      make("span", { class: "score", title: "Score: compares items after one history and nothing else" }, spoken("score "), score(item.score)),
      move && moved(move));
    const add = make("button", { type: "button", class: "pick", click: pick, title: name },
      picture(item), make("span", { class: "rank" }, String(place)), make("span", { class: "card-title" }, name), facts,
      spoken(", add to the history"), make("span", { class: "plus" }, icon("plus")));
    const why = make("button", { type: "button", class: "why", click: () => this.#why(item) }, "Why", spoken(` ${name}?`));
    return make("li", { class: "card result", "data-id": item.item_id, "data-place": place }, add, why);
  }

  #say(moves) {
    this.#note.hidden = !moves;
    if (!moves) return;
    const off = this.#modalities.off.map((name) => modalityName(name).toLocaleLowerCase()).join(" and ");
    const kept = [...moves.values()].filter((one) => one.before !== null && one.before <= SHOWN).length;
    const text = `Without the ${off}, ${kept} of ${moves.size} stay in the list.`;
    this.#note.replaceChildren(make("span", {}, text));
  }

  #placesOnScreen() {
    return new Map([...this.#region.querySelectorAll("[data-id]")].map((one) => [one.dataset.id, one.getBoundingClientRect()]));
  }

  /** Cards that stay slide to where they are now; new ones come up. */
  #slide(places) {
    if (places.size === 0 || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    for (const card of this.#region.querySelectorAll("[data-id]")) {
      const old = places.get(card.dataset.id);
      const now = card.getBoundingClientRect();
      const frames = old
        ? [{ transform: `translate(${old.left - now.left}px, ${old.top - now.top}px)` }, { transform: "none" }]
        : [{ opacity: 0, transform: "scale(.96)" }, { opacity: 1, transform: "none" }];
      card.animate(frames, SLIDE);
    }
  }
}

function moved({ before, by }) {
  if (before === null) return make("span", { class: "move new" }, "new");
  if (by === 0) return make("span", { class: "move", title: "Same place" }, "=", spoken(" same place"));
  return make("span", { class: `move ${by > 0 ? "up" : "down"}`, title: `${ordinal(before)} with everything on` },
    icon(by > 0 ? "up" : "down"), spoken(by > 0 ? "up " : "down "), String(Math.abs(by)));
}
