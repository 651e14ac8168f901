// The window through which the map is seen: points of the plane to pixels and back.

const CLOSEST = 80;
const MARGIN = 24;
// Half a width that stands for a single point.
const LEAST = 1e-3;

export class MapView {
  width = 1;
  height = 1;
  // Pixels a unit of the plane, and the point in the middle.
  scale = 1;
  x = 0;
  y = 0;
  #middle = [0, 0];
  #half = [1, 1];

  /** Takes in which part of the plane there is something to see. */
  set points(points) {
    const [left, right, low, high] = boundsOf(points);
    this.#middle = [(left + right) / 2, (low + high) / 2];
    this.#half = [Math.max((right - left) / 2, LEAST), Math.max((high - low) / 2, LEAST)];
  }

  /** Width by height of that part. */
  get aspect() {
    return this.#half[0] / this.#half[1];
  }

  resize(width, height) {
    const same = this.scale / this.#least();
    Object.assign(this, { width, height });
    this.scale = same * this.#least();
    this.#keep();
  }

  toScreen([x, y]) {
    return [this.width / 2 + (x - this.x) * this.scale, this.height / 2 - (y - this.y) * this.scale];
  }

  toPlane([left, top]) {
    return [this.x + (left - this.width / 2) / this.scale, this.y - (top - this.height / 2) / this.scale];
  }

  get zoom() {
    return this.scale / this.#least();
  }

  panBy(dx, dy) {
    this.x -= dx / this.scale;
    this.y += dy / this.scale;
    this.#keep();
  }

  /** Zooms so that what is at a point of the screen stays there. */
  zoomAt(left, top, factor) {
    const [x, y] = this.toPlane([left, top]);
    const least = this.#least();
    this.scale = Math.min(Math.max(this.scale * factor, least), least * CLOSEST);
    this.x = x - (left - this.width / 2) / this.scale;
    this.y = y + (top - this.height / 2) / this.scale;
    this.#keep();
  }

  /** Shows all of some points, or the whole plane without. */
  fit(points = []) {
    if (points.length === 0) {
      [this.x, this.y] = this.#middle;
      this.scale = this.#least();
      return;
    }
    const [left, right, low, high] = boundsOf(points);
    const least = this.#least();
    const wide = (this.width - 2 * MARGIN) / Math.max(right - left, 1e-6);
    const tall = (this.height - 2 * MARGIN) / Math.max(high - low, 1e-6);
    this.scale = Math.min(Math.max(Math.min(wide, tall), least), least * CLOSEST);
    Object.assign(this, { x: (left + right) / 2, y: (low + high) / 2 });
    this.#keep();
  }

  /** The scale at which the whole plane is in sight. */
  #least() {
    const [wide, tall] = this.#half;
    return Math.max(Math.min((this.width / 2 - MARGIN) / wide, (this.height / 2 - MARGIN) / tall), 1);
  }

  #keep() {
    const [x, y] = this.#middle;
    const [wide, tall] = this.#half;
    this.x = Math.min(Math.max(this.x, x - wide), x + wide);
    this.y = Math.min(Math.max(this.y, y - tall), y + tall);
  }
}

function boundsOf(points) {
  const bounds = [Infinity, -Infinity, Infinity, -Infinity];
  for (const [x, y] of points) {
    bounds[0] = Math.min(bounds[0], x);
    bounds[1] = Math.max(bounds[1], x);
    bounds[2] = Math.min(bounds[2], y);
    bounds[3] = Math.max(bounds[3], y);
  }
  return bounds;
}
