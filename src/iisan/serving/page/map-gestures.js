// Mouse, touch and keys on the map.

const KEY_PAN = 48;
const KEY_ZOOM = 1.4;
// A finger or mouse that moved less has clicked.
const STILL = 5;

/**
 * Listens on the map's canvas.
 * @param {HTMLCanvasElement} canvas
 * @param {import("./map-view.js").MapView} view
 * @param {{moved: () => void, hovered: (at: [number, number]|null) => void, clicked: (at: [number, number]) => void,
 *   stepped: (by: number) => void, taken: () => void, left: () => void, fitted: () => void}} calls
 */
export function listen(canvas, view, calls) {
  pointers(canvas, view, calls);
  wheel(canvas, view, calls);
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = keys(view, calls)[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

const keys = (view, calls) => {
  const pan = (dx, dy) => () => { view.panBy(dx, dy); calls.moved(); };
  const zoom = (factor) => () => { view.zoomAt(view.width / 2, view.height / 2, factor); calls.moved(); };
  return {
    ArrowLeft: pan(KEY_PAN, 0), ArrowRight: pan(-KEY_PAN, 0), ArrowUp: pan(0, KEY_PAN), ArrowDown: pan(0, -KEY_PAN),
    "+": zoom(KEY_ZOOM), "=": zoom(KEY_ZOOM), "-": zoom(1 / KEY_ZOOM), 0: calls.fitted,
    n: () => calls.stepped(1), p: () => calls.stepped(-1), Enter: calls.taken, Escape: calls.left,
  };
};

function wheel(canvas, view, calls) {
  // Without a sign that the map is meant, the wheel moves the page.
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== canvas) return;
    event.preventDefault();
    view.zoomAt(event.offsetX, event.offsetY, Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)));
    calls.moved();
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => {
    view.zoomAt(event.offsetX, event.offsetY, 2);
    calls.moved();
  });
}

function pointers(canvas, view, calls) {
  const down = new Map();
  let travelled = 0;
  const place = (event) => [event.offsetX, event.offsetY];
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    if (down.size === 0) travelled = 0;
    down.set(event.pointerId, place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    const now = place(event);
    if (!before) {
      if (event.pointerType === "mouse") calls.hovered(now);
      return;
    }
    const others = [...down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (others.length === 0) view.panBy(now[0] - before[0], now[1] - before[1]);
    else pinch(view, others[0], before, now);
    down.set(event.pointerId, now);
    if (travelled > STILL) calls.moved();
  });
  const up = (event) => {
    const clicked = down.size === 1 && travelled <= STILL && event.type === "pointerup";
    if (down.delete(event.pointerId) && clicked) calls.clicked(place(event));
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => calls.hovered(null));
}

function pinch(view, still, before, now) {
  const apart = (at) => Math.max(Math.hypot(at[0] - still[0], at[1] - still[1]), 1);
  view.panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  view.zoomAt((still[0] + now[0]) / 2, (still[1] + now[1]) / 2, apart(now) / apart(before));
}
