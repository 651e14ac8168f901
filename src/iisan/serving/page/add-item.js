// A new item from a picture and a title, and where it lands.

import * as api from "./api.js";
import { announce, tell } from "./announcer.js";
import { Drawer } from "./drawer.js";
import { icon, make } from "./element.js";
import { count, ordinal } from "./numbers.js";
import { nameOf, picture } from "./picture.js";
import { keepToken, keptToken } from "./token.js";

const NEIGHBOURS = 6;
const UNAUTHORIZED = 401;
const MOST_TITLE = 500;

export class AddItem extends EventTarget {
  #history;
  #drawer = new Drawer("add");
  #needsToken = false;
  #file = null;
  #preview = null;
  #form = null;
  #busy = false;

  constructor(history) {
    super();
    this.#history = history;
    this.#drawer.whenClosed(() => this.#forget());
    document.getElementById("open-add").addEventListener("click", () => this.open());
  }

  /** Makes the button appear, and pictures that are dropped on the page welcome. */
  allow(needsToken) {
    this.#needsToken = needsToken;
    document.getElementById("open-add").hidden = false;
    this.#welcomeDrops();
  }

  open(file = null) {
    const title = make("input", { id: "new-title", name: "title", type: "text", required: true, maxlength: MOST_TITLE, autocomplete: "off", placeholder: "What is it?" });
    const choose = make("input", { id: "new-picture", type: "file", accept: "image/jpeg,image/png,image/webp,image/gif,image/bmp", class: "hidden", change: () => this.#take(choose.files[0] ?? null) });
    const zone = make("label", { class: "zone", for: "new-picture" });
    const token = make("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", "aria-describedby": "token-help" });
    token.value = keptToken();
    const problem = make("div", { class: "problem", role: "alert" });
    const send = make("button", { type: "submit", class: "strong wide" }, "Add to the catalogue");
    const tokenField = make("div", { class: "field", hidden: !this.#needsToken }, make("label", { for: "token" }, "Token"), token,
      make("p", { class: "faint", id: "token-help" }, "Whoever runs this service has it. It is kept until this tab is closed."));
    const form = make("form", { class: "drawer-body", novalidate: true, submit: (event) => {
      event.preventDefault();
      this.#send();
    } },
    make("div", { class: "field" }, make("span", { class: "label" }, "Picture"), choose, zone),
    make("div", { class: "field" }, make("label", { for: "new-title" }, "Title"), title), tokenField, problem, send);
    this.#form = { form, title, zone, token, tokenField, problem, send, choose };
    this.#welcomeOn(zone);
    this.#drawer.open("Add an item", form);
    this.#take(file);
    (file ? title : choose).focus();
  }

  #take(file) {
    if (this.#preview) URL.revokeObjectURL(this.#preview);
    this.#file = file;
    this.#preview = file ? URL.createObjectURL(file) : null;
    this.#form.problem.replaceChildren();
    const { zone } = this.#form;
    zone.classList.toggle("has", file !== null);
    if (!file) {
      zone.replaceChildren(icon("picture"), make("span", {}, make("strong", {}, "Drop a picture"), " or choose a file"));
      return;
    }
    const image = make("img", { alt: "", src: this.#preview });
    image.addEventListener("error", () => this.#refuse("This file is not a picture that the browser can show."), { once: true });
    zone.replaceChildren(image, make("span", {}, make("strong", {}, file.name), make("span", { class: "faint" }, "Choose another")));
    announce(`Picture ${file.name} chosen`);
  }

  #refuse(text) {
    this.#form.problem.replaceChildren(icon("broken"), make("span", {}, text));
  }

  async #send() {
    const { title, token, tokenField, send } = this.#form;
    const name = title.value.trim();
    if (this.#busy) return;
    if (!name) {
      this.#refuse("A title is needed.");
      title.setAttribute("aria-invalid", "true");
      title.focus();
      return;
    }
    title.removeAttribute("aria-invalid");
    this.#form.problem.replaceChildren();
    this.#setBusy(true);
    keepToken(token.value.trim());
    try {
      const added = await api.add({ title: name, picture: this.#file }, token.value.trim());
      const item = { title: name, picture: null, ...added };
      announce(`${name} is in the catalogue`);
      this.dispatchEvent(new CustomEvent("added", { detail: item }));
      if (this.#drawer.isOpen) await this.#landed(item);
    } catch (error) {
      this.#refuse(error.message);
      if (error.status === UNAUTHORIZED) {
        tokenField.hidden = false;
        token.focus();
      } else send.focus();
    } finally {
      this.#setBusy(false);
    }
  }

  #setBusy(busy) {
    this.#busy = busy;
    const { send } = this.#form;
    send.setAttribute("aria-disabled", String(busy));
    send.textContent = busy ? "Reading picture and title…" : "Add to the catalogue";
  }

  async #landed(item) {
    const place = make("p", { class: "landed-place" });
    const near = make("div", {});
    const use = () => {
      this.#drawer.close();
      this.#history.add(item);
    };
    const body = make("div", { class: "drawer-body" },
      make("div", { class: "subject" }, picture(item), make("div", {}, make("p", { class: "subject-title" }, nameOf(item)), make("p", { class: "faint" }, item.item_id))),
      place, near,
      make("div", { class: "row" }, make("button", { type: "button", class: "strong", click: use }, "Add to the history"),
        make("button", { type: "button", class: "quiet", click: () => this.open() }, "Add another"),
        make("button", { type: "button", class: "link danger", click: (event) => this.#takeBack(item, event.target) }, "Remove it again")));
    this.#drawer.open("In the catalogue", body);
    await Promise.all([this.#sayPlace(item, place), this.#showNear(item, near)]);
  }

  async #sayPlace(item, region) {
    const ids = this.#history.ids;
    if (ids.length === 0) {
      region.textContent = "It can be found, picked and recommended from now on. It is marked on the map.";
      return;
    }
    try {
      const found = await api.explain(ids, [item.item_id]);
      const text = `${ordinal(found.items[0].place)} of ${count(found.n_candidates)}`;
      region.replaceChildren(make("strong", {}, text), " after the history as it is, and marked on the map.");
      announce(`It is ${text} after the history as it is`);
    } catch (error) {
      region.textContent = `It is in the catalogue. Where it stands could not be read: ${error.message}`;
    }
  }

  async #showNear(item, region) {
    try {
      const items = await api.similar(item.item_id, NEIGHBOURS);
      if (items.length === 0) return;
      region.replaceChildren(make("h3", {}, "Most like it"), make("ul", { class: "neighbours" },
        ...items.map((one) => make("li", {}, picture(one), make("span", { class: "card-title" }, nameOf(one))))));
    } catch (error) {
      region.replaceChildren(make("p", { class: "faint" }, `What is most like it could not be read: ${error.message}`));
    }
  }

  async #takeBack(item, button) {
    button.disabled = true;
    try {
      await api.remove(item.item_id, keptToken());
      this.#drawer.close();
      tell(`${nameOf(item)} is removed`);
      this.#history.remove(item.item_id);
      this.dispatchEvent(new CustomEvent("removed", { detail: item }));
    } catch (error) {
      button.disabled = false;
      button.after(make("p", { class: "problem", role: "alert" }, error.message));
    }
  }

  #forget() {
    if (this.#preview) URL.revokeObjectURL(this.#preview);
    this.#preview = null;
    this.#file = null;
  }

  #welcomeOn(zone) {
    zone.addEventListener("dragover", (event) => {
      event.preventDefault();
      zone.classList.add("over");
    });
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      zone.classList.remove("over");
      this.#takeDropped(event.dataTransfer);
    });
  }

  #takeDropped(transfer) {
    const file = transfer.files[0];
    if (file) this.#take(file);
  }

  /** A picture may be dropped anywhere: the form then opens with it. */
  #welcomeDrops() {
    const landing = document.getElementById("landing");
    const holdsFile = (event) => event.dataTransfer?.types.includes("Files") ?? false;
    document.addEventListener("dragover", (event) => {
      if (!holdsFile(event)) return;
      event.preventDefault();
      landing.hidden = this.#drawer.isOpen;
    });
    document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) landing.hidden = true;
    });
    document.addEventListener("drop", (event) => {
      if (!holdsFile(event)) return;
      event.preventDefault();
      landing.hidden = true;
      const file = event.dataTransfer.files[0];
      if (file && !this.#drawer.isOpen) this.open(file);
    });
  }
}
