// Draws the map: dots for the catalogue, pictures for what is marked and, when few are in sight, for all.

import { pictureUrl } from "./api.js";
import { hueOf, initials } from "./picture.js";

const DOT = 2.2;
const MARK = 15;
const THUMB = 16;
const ROOMY = 70;
const MOST_PICTURES = 600;

export class MapDrawing {
  #canvas;
  #pictures = new Map();
  #redraw;

  /** @param {() => void} redraw Called when a picture has come. */
  constructor(canvas, redraw) {
    this.#canvas = canvas;
    this.#redraw = redraw;
  }

  /**
   * @param {import("./map-view.js").MapView} view
   * @param {{id: string, at: [number, number]}[]} points
   * @param {{history: object[], recommended: object[], added: object[]}} marks Points that are marked, in order.
   * @param {object|null} chosen The point that is looked at.
   */
  draw(view, points, marks, chosen) {
    const ratio = globalThis.devicePixelRatio || 1;
    const { width, height } = view;
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== Math.round(height * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(height * ratio);
    }
    const pen = this.#canvas.getContext("2d");
    const tones = this.#tones();
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const marked = new Set(Object.values(marks).flat().map((one) => one.id));
    this.#catalogue(pen, view, points.filter((one) => !marked.has(one.id)), tones);
    this.#path(pen, view, marks.history, tones);
    for (const one of [...marks.recommended].reverse()) this.#mark(pen, view.toScreen(one.at), one, tones.accent, tones, true);
    for (const one of marks.history) this.#mark(pen, view.toScreen(one.at), one, tones.ink, tones, false);
    for (const one of marks.added) this.#mark(pen, view.toScreen(one.at), one, tones.image, tones, true);
    if (chosen) this.#mark(pen, view.toScreen(chosen.at), chosen, tones.focus, tones, !marks.history.includes(chosen), 1.35);
  }

  #tones() {
    const style = getComputedStyle(this.#canvas);
    return Object.fromEntries(["paper", "ink", "faint", "accent", "image", "focus", "card", "rule"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  #catalogue(pen, view, points, tones) {
    const near = points.map((one) => [one, view.toScreen(one.at)]).filter(([, [x, y]]) => x > -THUMB && y > -THUMB && x < view.width + THUMB && y < view.height + THUMB);
    if (near.length <= ROOMY) {
      for (const [one, at] of near) this.#mark(pen, at, one, tones.rule, tones, false, 0.95);
      return;
    }
    pen.fillStyle = tones.faint;
    pen.globalAlpha = near.length > 2000 ? 0.3 : 0.45;
    const size = DOT * Math.min(1 + Math.log2(view.zoom) / 4, 2) * (near.length > 2000 ? 0.7 : 1);
    for (const [, [x, y]] of near) {
      pen.beginPath();
      pen.arc(x, y, size, 0, 2 * Math.PI);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }

  #path(pen, view, history, tones) {
    if (history.length < 2) return;
    pen.strokeStyle = tones.ink;
    pen.globalAlpha = 0.35;
    pen.lineWidth = 1.5;
    pen.setLineDash([4, 4]);
    pen.beginPath();
    history.forEach((one, place) => pen[place ? "lineTo" : "moveTo"](...view.toScreen(one.at)));
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  /** A picture with a ring; round for what is recommended, square for what was seen, so that colour is not all there is. */
  #mark(pen, [x, y], point, ring, tones, round, size = 1) {
    const half = MARK * size;
    const outline = () => {
      pen.beginPath();
      if (round) pen.arc(x, y, half, 0, 2 * Math.PI);
      else pen.roundRect(x - half, y - half, 2 * half, 2 * half, 5);
    };
    pen.save();
    outline();
    pen.clip();
    pen.fillStyle = tones.card;
    pen.fillRect(x - half, y - half, 2 * half, 2 * half);
    const image = this.#picture(point);
    if (image) {
      const fill = (2 * half) / Math.min(image.naturalWidth, image.naturalHeight);
      const [width, height] = [image.naturalWidth * fill, image.naturalHeight * fill];
      pen.drawImage(image, x - width / 2, y - height / 2, width, height);
    } else if (point.item) this.#tile(pen, x, y, half, point);
    pen.restore();
    outline();
    pen.lineWidth = ring === tones.rule ? 1 : 2.5;
    pen.strokeStyle = ring;
    pen.stroke();
  }

  #tile(pen, x, y, half, point) {
    pen.fillStyle = `hsl(${hueOf(point.id)} 28% 55%)`;
    pen.fillRect(x - half, y - half, 2 * half, 2 * half);
    pen.fillStyle = "#fff";
    pen.font = `600 ${Math.round(half * 0.8)}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(initials(point.item), x, y + 0.5);
  }

  /** The picture of a point where it has come; else it is sent for, and drawn then. */
  #picture(point) {
    if (!point.item) {
      point.wanted?.();
      return null;
    }
    const url = pictureUrl(point.item);
    if (!url) return null;
    const kept = this.#pictures.get(url);
    if (kept) return kept.complete && kept.naturalWidth ? kept : null;
    if (this.#pictures.size >= MOST_PICTURES) this.#pictures.delete(this.#pictures.keys().next().value);
    const image = new Image();
    image.addEventListener("load", () => this.#redraw());
    image.src = url;
    this.#pictures.set(url, image);
    return null;
  }
}
