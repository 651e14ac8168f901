// Switches for what the model may look at; one of them always stays on.

import { tell } from "./announcer.js";
import { make } from "./element.js";
import { modalityName, toneOf } from "./modality-names.js";

export class Modalities extends EventTarget {
  #names = [];
  #off = new Set();
  #whyNot = null;
  #region = document.getElementById("modalities");

  /**
   * @param {string[]} names Of the model; one alone cannot be switched off.
   * @param {string|null} whyNot Why none of them can be; null where they can.
   */
  offer(names, whyNot) {
    this.#names = names;
    this.#whyNot = whyNot;
    this.#show();
  }

  get off() {
    return [...this.#off];
  }

  /** Names of those that a link says are off; unknown ones do not count. */
  set off(names) {
    const known = this.#whyNot ? [] : names.filter((name) => this.#names.includes(name));
    this.#off = new Set(known.length < this.#names.length ? known : []);
    this.#show();
  }

  /** What the model may look at; null for everything. */
  get on() {
    return this.#off.size ? this.#names.filter((name) => !this.#off.has(name)) : null;
  }

  /** Everything on again, after the service said that it cannot leave something out. */
  allOn() {
    this.#off.clear();
    this.#show();
    this.dispatchEvent(new Event("change"));
  }

  #show() {
    const held = document.activeElement?.dataset?.modality;
    const switches = this.#names.length > 1 ? this.#names.map((name, place) => this.#switch(name, place)) : [];
    this.#region.replaceChildren(...switches);
    if (held) switches.find((one) => one.dataset.modality === held)?.focus();
  }

  #switch(name, place) {
    const on = !this.#off.has(name);
    const last = on && this.#names.length - this.#off.size === 1;
    const held = this.#whyNot ? `It cannot be left out: ${this.#whyNot}` : last ? "At least one stays on" : null;
    return make("button", {
      type: "button", role: "switch", class: `switch ${toneOf(name, place)}`, "aria-checked": String(on), "aria-disabled": held && "true",
      "data-modality": name, title: held ?? `${on ? "Leave out" : "Bring back"}: ${modalityName(name)}`,
      click: () => this.#flip(name, on, held),
    }, make("span", { class: "knob", "aria-hidden": "true" }), modalityName(name));
  }

  #flip(name, on, held) {
    if (held) {
      tell(held);
      return;
    }
    if (on) this.#off.add(name);
    else this.#off.delete(name);
    this.#show();
    this.dispatchEvent(new Event("change"));
  }
}
