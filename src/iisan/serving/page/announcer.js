// Short messages: spoken by screen readers, and shown for a moment where something was done.

import { make } from "./element.js";

const STAY = 3500;
const region = document.getElementById("announcer");
const toast = document.getElementById("toast");
let timer = 0;

/** Says something to those who listen; what comes at the same time is said one after the other. */
export function announce(text) {
  const said = make("p", {}, text);
  region.append(said);
  setTimeout(() => said.remove(), STAY);
}

/** Says it, and shows it to those who look. */
export function tell(text) {
  announce(text);
  toast.textContent = text;
  toast.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => { toast.hidden = true; }, STAY);
}
