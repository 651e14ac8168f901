// Why an item is recommended: what it is made of, and what of the history counted.

import * as api from "./api.js";
import { Drawer } from "./drawer.js";
import { make, spoken } from "./element.js";
import { modalityName, toneOf } from "./modality-names.js";
import { count, digitsFor, ordinal, percent, score, signed } from "./numbers.js";
import { nameOf, picture } from "./picture.js";
import { failed, filled } from "./states.js";

// Items of the history in sight; the others can be unfolded.
const SHOWN = 5;
const INTERPLAY = "interplay";

export class Why {
  #history;
  #modalities;
  #drawer = new Drawer("why");
  #asked = null;

  constructor(history, modalities) {
    this.#history = history;
    this.#modalities = modalities;
    this.#drawer.whenClosed(() => this.#asked?.abort());
  }

  show(item) {
    const body = make("div", { class: "drawer-body" });
    const add = () => {
      this.#drawer.close();
      this.#history.add(item);
    };
    const known = this.#history.has(item.item_id);
    const head = make("div", { class: "subject" }, picture(item), make("div", {},
      make("p", { class: "subject-title" }, nameOf(item)), make("p", { class: "faint", id: "why-place" }, " "),
      !known && make("button", { type: "button", class: "quiet", click: add }, "Add to the history")));
    this.#drawer.open("Why this one", head, body);
    this.#ask(item, body);
  }

  async #ask(item, body) {
    this.#asked?.abort();
    const asked = (this.#asked = new AbortController());
    body.setAttribute("aria-busy", "true");
    body.replaceChildren(make("div", { class: "ghost-lines", "aria-hidden": "true" }, ...Array.from({ length: 5 }, () => make("span", { class: "line" }))), spoken("Loading"));
    try {
      const found = await api.explain(this.#history.ids, [item.item_id], asked.signal);
      if (!asked.signal.aborted) this.#fill(body, found);
    } catch (error) {
      if (!asked.signal.aborted) failed(body, error, () => this.#ask(item, body));
    }
  }

  #fill(body, found) {
    const [item] = found.items;
    const where = `${ordinal(item.place)} of ${count(found.n_candidates)} · score ${score(item.score)}`;
    document.getElementById("why-place").textContent = where;
    const off = this.#modalities.off.length > 0;
    const notes = [...(off ? ["This is the score with everything switched on."] : []), ...(found.notes ?? [])];
    filled(body, ...notes.map((note) => make("p", { class: "aside" }, note)),
      item.of_item && content(item), past(item, this.#history.items), reading(item));
  }
}

function content(item) {
  const parts = item.of_item.parts.map((part, place) => ({ ...part, label: modalityName(part.name), tone: toneOf(part.name, place), value: part.alone }));
  if (parts.length > 1) {
    parts.push({ name: INTERPLAY, label: "Their interplay", tone: INTERPLAY, value: item.of_item.interplay, share: item.of_item.interplay_share, present: true });
  }
  const bar = make("div", { class: "shares", "aria-hidden": "true" }, ...parts.filter((part) => part.share > 0).map((part) => {
    const piece = make("span", { class: part.tone, title: `${part.label} ${percent(part.share)}` });
    piece.style.flexGrow = part.share;
    return piece;
  }));
  const rows = parts.map((part) => make("tr", {},
    make("th", { scope: "row" }, make("span", { class: `dot ${part.tone}`, "aria-hidden": "true" }), part.label, !part.present && make("small", {}, " it has none")),
    make("td", { class: "share" }, percent(part.share)),
    make("td", { class: "number" }, signed(part.value)),
    make("td", { class: "number" }, part.place_without ? ordinal(part.place_without) : part.name === INTERPLAY ? "" : "–")));
  const table = make("table", {}, make("caption", { class: "hidden" }, "Share of each part in the score"),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, spoken("Part")), make("th", { scope: "col", class: "number" }, "Share"),
      make("th", { scope: "col", class: "number" }, "Adds"), make("th", { scope: "col", class: "number" }, "Place without"))),
    make("tbody", {}, ...rows));
  return make("section", {}, make("h3", {}, "What the item is"), bar, table);
}

function past(item, seen) {
  const heading = make("h3", {}, "What of the history counted");
  const told = item.history.filter((one) => one.drop !== null).sort((a, b) => Math.abs(b.drop) - Math.abs(a.drop));
  if (told.length === 0) {
    return make("section", {}, heading, make("p", { class: "faint" }, "The history is one item, so the whole score rests on it."));
  }
  const pictures = new Map(seen.map((one) => [one.item_id, one]));
  const most = Math.max(...told.map((one) => Math.abs(one.drop)), 1e-9);
  const digits = digitsFor(told.map((one) => one.drop));
  const rows = told.map((one) => influence(one, pictures.get(one.item_id) ?? { ...one, picture: null }, most, digits));
  const list = make("ul", { class: "influences" }, ...rows.slice(0, SHOWN));
  const rest = rows.slice(SHOWN);
  const more = rest.length > 0 && make("details", {}, make("summary", {}, `${rest.length} more`), make("ul", { class: "influences" }, ...rest));
  const settled = told.every((one) => one.place_without === item.place);
  const verdict = settled && make("p", { class: "faint small-text" }, `None of them alone changes its place: without any one it is still ${ordinal(item.place)}.`);
  return make("section", {}, heading, verdict, list, more);
}

function influence(one, item, most, digits) {
  const fill = make("span", { class: one.drop < 0 ? "against" : "for" });
  fill.style.width = `${Math.max((Math.abs(one.drop) / most) * 50, 0.5)}%`;
  const then = one.place_without ? `${ordinal(one.place_without)} without it` : "";
  return make("li", {}, picture(item), make("div", { class: "influence" },
    make("span", { class: "influence-title" }, nameOf(item)),
    make("span", { class: "track", "aria-hidden": "true" }, fill),
    make("span", { class: "influence-facts" }, make("span", { class: "score" }, signed(one.drop, digits)),
      spoken(one.drop < 0 ? " speaks against it" : " speaks for it"), then && make("span", { class: "faint" }, then))));
}

function reading(item) {
  const lines = [
    item.of_item && "Share: the size of what a part adds, beside the sizes of the others. Picture and text count as each alone; their interplay is what they add together beyond that, and is negative where they say the same thing.",
    item.of_item && "Place without: where the item would stand if that part alone were left out of it.",
    item.history.length > 1 && "History: by how much the score falls when one item is taken out. To the right, it speaks for the recommendation; to the left, against it. These numbers need not sum to anything.",
    "Scores compare items after one history and nothing else.",
  ];
  return make("details", { class: "reading" }, make("summary", {}, "How to read it"), ...lines.filter(Boolean).map((line) => make("p", {}, line)));
}
