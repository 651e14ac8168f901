// The picture of an item, or a tile with its initials where there is none.

import { pictureUrl } from "./api.js";
import { make } from "./element.js";

const GOLDEN_ANGLE = 137.508;

/** A hue of an id, the same on every visit; neighbours in the catalogue differ. */
export function hueOf(id) {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return Math.round((sum * GOLDEN_ANGLE) % 360);
}

/** Up to two letters that stand for an item. */
export function initials(item) {
  const words = (item.title || item.item_id).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const letters = words.slice(0, 2).map((word) => [...word][0]);
  return letters.join("").toLocaleUpperCase() || "?";
}

export const nameOf = (item) => item.title || item.item_id;

/** The picture; decorative, as the title always stands beside it. */
export function picture(item) {
  const url = pictureUrl(item);
  if (!url) return make("span", { class: "picture" }, tile(item));
  const frame = make("span", { class: "picture" });
  const image = make("img", { alt: "", loading: "lazy", decoding: "async", draggable: "false", src: url });
  image.addEventListener("error", () => image.replaceWith(tile(item)), { once: true });
  frame.append(image);
  return frame;
}

function tile(item) {
  const made = make("span", { class: "tile", "aria-hidden": "true" }, initials(item));
  made.style.setProperty("--hue", hueOf(item.item_id));
  return made;
}
