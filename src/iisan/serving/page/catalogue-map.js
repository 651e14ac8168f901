// The catalogue on a plane, with the history and the recommendations marked.

import * as api from "./api.js";
import { announce } from "./announcer.js";
import { icon, make, spoken } from "./element.js";
import { MapDrawing } from "./map-drawing.js";
import { listen } from "./map-gestures.js";
import { MapView } from "./map-view.js";
import { count, counted, ordinal } from "./numbers.js";
import { nameOf, picture } from "./picture.js";
import { empty, failed } from "./states.js";

// Pixels from a point that still mean it.
const REACH = 18;
const ZOOM = 1.6;
// Width by height of the frame.
const [TALLEST, WIDEST] = [0.9, 1.6];
// Titles and pictures that are asked for at a time while the map is looked at.
const AT_ONCE = 4;

export class CatalogueMap {
  #history;
  #recommendations;
  #why;
  #region = document.getElementById("map");
  #count = document.getElementById("map-count");
  #view = new MapView();
  #points = [];
  #byId = new Map();
  #added = new Set();
  #chosen = null;
  #pinned = false;
  #drawing = null;
  #canvas = null;
  #callout = null;
  #frame = 0;
  #asked = null;
  #wanted = [];
  #asking = 0;
  #toShow = null;

  constructor(history, recommendations, why) {
    this.#history = history;
    this.#recommendations = recommendations;
    this.#why = why;
    for (const one of [history, recommendations]) one.addEventListener("change", () => this.#changed());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#later());
  }

  async load() {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    if (!this.#canvas) this.#region.replaceChildren(make("div", { class: "map-frame ghost" }));
    try {
      const found = await api.map(this.#marked().map((one) => one.item_id), asked.signal);
      this.#fill(found);
    } catch (error) {
      if (!asked.signal.aborted) this.fail(error);
    }
  }

  fail(error, retry = this.#again) {
    this.#forgetDrawing();
    failed(this.#region, error, retry);
  }

  #again = () => this.load();

  #forgetDrawing() {
    this.#canvas = null;
    document.getElementById("map-tools").replaceChildren();
  }

  /** Marks a new item, and reads the map again as it has a place now. */
  async mark(item) {
    this.#added.add(item.item_id);
    this.#toShow = item;
    await this.load();
  }

  forget(item) {
    this.#added.delete(item.item_id);
    if (this.#chosen?.id === item.item_id) this.#choose(null);
    return this.load();
  }

  #marked() {
    return [...this.#history.items, ...this.#recommendations.items, ...[...this.#added].map((id) => ({ item_id: id }))];
  }

  #fill(found) {
    const items = new Map([...this.#byId].filter(([, one]) => one.item).map(([id, one]) => [id, one.item]));
    this.#points = found.points.map(([x, y, id]) => this.#point(id, [x, y], items.get(id)));
    this.#byId = new Map(this.#points.map((one) => [one.id, one]));
    this.#place(found.placed ?? []);
    this.#chosen = this.#chosen && (this.#byId.get(this.#chosen.id) ?? null);
    const sampled = found.points.length < found.n_items;
    this.#count.textContent = sampled ? `${count(found.points.length)} of ${counted(found.n_items, "item")}` : "";
    if (this.#points.length === 0) {
      this.#forgetDrawing();
      empty(this.#region, "Nothing to draw", "No item of this catalogue has a place on the map.");
      return;
    }
    this.#view.points = this.#points.map((one) => one.at);
    if (!this.#canvas) this.#build();
    this.#learn();
    this.#show();
    this.#later();
  }

  /** Looks at the item that was added last, once it has its place. */
  #show() {
    const point = this.#toShow && this.#byId.get(this.#toShow.item_id);
    if (!point) return;
    point.item = this.#toShow;
    this.#toShow = null;
    this.#choose(point, true);
  }

  #point(id, at, item = null) {
    const point = { id, at, item };
    point.wanted = () => this.#want(point);
    return point;
  }

  /** Points of items that an even sample left out. */
  #place(placed) {
    for (const [x, y, id] of placed) {
      if (!this.#byId.has(id)) this.#byId.set(id, this.#point(id, [x, y]));
    }
  }

  #build() {
    this.#canvas = make("canvas", { class: "map-canvas", tabindex: "0", role: "application", "aria-roledescription": "map", "aria-describedby": "map-keys" });
    this.#callout = make("div", { class: "callout", hidden: true });
    const zoom = (factor) => () => {
      this.#view.zoomAt(this.#view.width / 2, this.#view.height / 2, factor);
      this.#later();
    };
    const tool = (name, text, click) => make("button", { type: "button", class: "round", title: text, click }, icon(name), spoken(text));
    const tools = [tool("plus", "Zoom in", zoom(ZOOM)), tool("minus", "Zoom out", zoom(1 / ZOOM)),
      tool("focus", "Show what is marked", () => this.#fit(this.#atMarks())), tool("whole", "Show the whole map", () => this.#fit([]))];
    const frame = make("div", { class: "map-frame" }, this.#canvas, this.#callout);
    const legend = make("ul", { class: "legend" },
      make("li", {}, make("span", { class: "key-square", "aria-hidden": "true" }), "History"),
      make("li", {}, make("span", { class: "key-ring", "aria-hidden": "true" }), "Recommended"),
      make("li", {}, make("span", { class: "key-dot", "aria-hidden": "true" }), "Catalogue"));
    const help = make("p", { class: "faint map-help" }, "Items that the model takes for alike lie close together.");
    const keys = make("p", { class: "faint map-help map-keys", id: "map-keys" },
      "Arrows move the map, + and − zoom, 0 shows all of it. N and P walk through what is marked, Enter adds it to the history.");
    frame.style.aspectRatio = Math.min(Math.max(this.#view.aspect, TALLEST), WIDEST);
    this.#region.replaceChildren(frame, legend, help, keys);
    document.getElementById("map-tools").replaceChildren(...tools);
    this.#drawing = new MapDrawing(this.#canvas, () => this.#later());
    listen(this.#canvas, this.#view, {
      moved: () => this.#later(), hovered: (at) => this.#hover(at), clicked: (at) => this.#click(at), stepped: (by) => this.#step(by),
      taken: () => this.#take(), left: () => this.#choose(null), fitted: () => this.#fit([]),
    });
    new ResizeObserver(([one]) => {
      this.#view.resize(Math.max(one.contentRect.width, 1), Math.max(one.contentRect.height, 1));
      this.#later();
    }).observe(frame);
    this.#view.resize(Math.max(frame.clientWidth, 1), Math.max(frame.clientHeight, 1));
    this.#view.fit();
  }

  #changed() {
    if (!this.#canvas) return;
    const lacking = this.#marked().some((one) => !this.#byId.has(one.item_id));
    if (lacking) this.load();
    this.#learn();
    if (!this.#pinned) this.#choose(null);
    this.#later();
  }

  /** What is known of marked items, so that they need not be asked for. */
  #learn() {
    for (const item of this.#marked()) {
      const point = this.#byId.get(item.item_id);
      if (point && item.title !== undefined) point.item = item;
    }
  }

  #marks() {
    const found = (items) => items.map((one) => this.#byId.get(one.item_id)).filter(Boolean);
    const history = found(this.#history.items);
    const recommended = found(this.#recommendations.items);
    const added = found([...this.#added].map((id) => ({ item_id: id }))).filter((one) => !history.includes(one) && !recommended.includes(one));
    return { history, recommended, added };
  }

  #atMarks() {
    return Object.values(this.#marks()).flat().map((one) => one.at);
  }

  #fit(points) {
    this.#view.fit(points);
    this.#later();
  }

  #later() {
    if (this.#frame || !this.#canvas) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    if (!this.#canvas) return;
    const marks = this.#marks();
    this.#drawing.draw(this.#view, this.#points, marks, this.#chosen);
    const said = marks.history.length + marks.recommended.length
      ? `${counted(marks.history.length, "item")} of the history and ${counted(marks.recommended.length, "recommendation")} are marked.`
      : "Nothing is marked yet.";
    this.#canvas.setAttribute("aria-label", `Map of ${counted(this.#points.length, "item")}. ${said}`);
    this.#settleCallout();
  }

  /** Sends for the title and picture of a point that is in sight, a few at a time. */
  #want(point) {
    point.wanted = null;
    this.#wanted.push(point);
    this.#serve();
  }

  async #serve() {
    if (this.#asking >= AT_ONCE || this.#wanted.length === 0) return;
    this.#asking += 1;
    const point = this.#wanted.pop();
    try {
      point.item = await api.item(point.id);
      if (point === this.#chosen) this.#showCallout();
    } catch {
      // It stays a plain mark: the map goes on without its title.
    } finally {
      this.#asking -= 1;
      this.#later();
      this.#serve();
    }
  }

  #nearest([x, y]) {
    const marks = Object.values(this.#marks()).flat();
    let best = null;
    let least = REACH;
    for (const one of [...this.#points, ...marks]) {
      const [left, top] = this.#view.toScreen(one.at);
      // What is marked lies on top.
      const away = Math.hypot(left - x, top - y) - (marks.includes(one) ? 6 : 0);
      if (away <= least) [best, least] = [one, away];
    }
    return best;
  }

  #hover(at) {
    if (this.#pinned) return;
    const point = at && this.#nearest(at);
    this.#canvas.classList.toggle("over", Boolean(point));
    if (point !== this.#chosen) this.#choose(point);
  }

  #click(at) {
    this.#canvas.focus({ preventScroll: true });
    this.#choose(this.#nearest(at), true);
  }

  #step(by) {
    const marks = Object.values(this.#marks()).flat();
    if (marks.length === 0) {
      announce("Nothing is marked yet");
      return;
    }
    const place = marks.indexOf(this.#chosen);
    const next = marks[place < 0 ? (by > 0 ? 0 : marks.length - 1) : (place + by + marks.length) % marks.length];
    const [left, top] = this.#view.toScreen(next.at);
    if (left < 0 || top < 0 || left > this.#view.width || top > this.#view.height) [this.#view.x, this.#view.y] = next.at;
    this.#choose(next, true);
    announce(`${next.item ? nameOf(next.item) : next.id}, ${this.#role(next)}`);
  }

  #take() {
    const item = this.#chosen?.item;
    if (!item || this.#history.has(item.item_id)) return;
    this.#history.add(item);
    announce(`${nameOf(item)} added to the history`);
    this.#choose(null);
  }

  #role(point) {
    const { history, recommended, added } = this.#marks();
    if (history.includes(point)) return "in the history";
    if (recommended.includes(point)) return `recommended ${ordinal(recommended.indexOf(point) + 1)}`;
    return added.includes(point) ? "just added" : "in the catalogue";
  }

  #choose(point, pinned = false) {
    this.#chosen = point;
    this.#pinned = Boolean(point) && pinned;
    if (point && !point.item && point.wanted) this.#want(point);
    if (this.#canvas) this.#showCallout();
    this.#later();
  }

  #showCallout() {
    const point = this.#chosen;
    this.#callout.hidden = !point;
    this.#callout.classList.toggle("pinned", this.#pinned);
    if (!point) return;
    const item = point.item ?? { item_id: point.id, title: null, picture: null };
    const text = make("div", {}, make("p", { class: "callout-title" }, nameOf(item)), make("p", { class: "faint" }, this.#role(point)));
    if (this.#pinned) text.append(this.#actions(point));
    this.#callout.replaceChildren(picture(item), text);
    this.#settleCallout();
  }

  #actions(point) {
    const row = make("div", { class: "row" });
    if (point.item && !this.#history.has(point.id)) {
      row.append(make("button", { type: "button", class: "link", click: () => this.#take() }, "Add to the history"));
    }
    if (this.#marks().recommended.includes(point)) {
      row.append(make("button", { type: "button", class: "link", click: () => this.#why(point.item) }, "Why"));
    }
    return row;
  }

  #settleCallout() {
    if (!this.#chosen || this.#callout.hidden) return;
    const [x, y] = this.#view.toScreen(this.#chosen.at);
    const { offsetWidth: width, offsetHeight: height } = this.#callout;
    const left = Math.min(Math.max(x - width / 2, 8), Math.max(this.#view.width - width - 8, 8));
    const above = y - height - 26;
    this.#callout.style.transform = `translate(${Math.round(left)}px, ${Math.round(above > 8 ? above : y + 26)}px)`;
  }
}
