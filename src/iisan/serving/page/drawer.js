// A panel over the page: a dialog that Escape, its button and a click beside it close.

import { icon, make, spoken } from "./element.js";

export class Drawer {
  #dialog;

  /** @param {string} id Of a dialog element. */
  constructor(id) {
    this.#dialog = document.getElementById(id);
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.close();
    });
  }

  get isOpen() {
    return this.#dialog.open;
  }

  /** Opens with a heading and content; the element that had the focus gets it back at the end. */
  open(title, ...content) {
    const close = make("button", { type: "button", class: "round", click: () => this.close() }, icon("close"), spoken("Close"));
    const heading = make("h2", { id: `${this.#dialog.id}-title` }, title);
    this.#dialog.replaceChildren(make("div", { class: "drawer-inside" }, make("header", { class: "drawer-top" }, heading, close), ...content));
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#dialog.scrollTop = 0;
  }

  close() {
    this.#dialog.close();
  }

  whenClosed(call) {
    this.#dialog.addEventListener("close", call);
  }
}
