// Puts the page together.

import { AddItem } from "./add-item.js";
import * as api from "./api.js";
import { tell } from "./announcer.js";
import { Catalogue } from "./catalogue.js";
import { CatalogueMap } from "./catalogue-map.js";
import { Why } from "./explain.js";
import { History, HistoryStrip } from "./history.js";
import { readLink, writeLink } from "./link.js";
import { Modalities } from "./modalities.js";
import { modalityName } from "./modality-names.js";
import { counted } from "./numbers.js";
import { Recommendations } from "./recommendations.js";

const EXAMPLE = 3;
const EXAMPLE_FROM = 60;
const NOT_FOUND = 404;

const history = new History();
const modalities = new Modalities();
const catalogue = new Catalogue(history);
const why = new Why(history, modalities);
const explain = (item) => why.show(item);
const recommendations = new Recommendations(history, modalities, explain, example);
const map = new CatalogueMap(history, recommendations, explain);
const adding = new AddItem(history);
new HistoryStrip(history);

/** A few items at random, for somebody who only wants to see. */
async function example() {
  try {
    const items = await api.search("", EXAMPLE_FROM);
    const chosen = items.map((item) => [Math.random(), item]).sort(([a], [b]) => a - b).slice(0, EXAMPLE);
    history.replace(chosen.map(([, item]) => item));
  } catch (error) {
    tell(error.message);
  }
}

function keepLink() {
  const hash = writeLink({ ids: history.ids, off: modalities.off });
  if (hash !== location.hash) globalThis.history.pushState(null, "", hash || location.pathname + location.search);
}

/** Brings the page to what the link says; items that are not there are left out, and that is said. */
async function followLink() {
  const link = readLink(location.hash);
  if (!link) return;
  modalities.off = link.off;
  const known = new Map(history.items.map((item) => [item.item_id, item]));
  const found = await Promise.allSettled(link.ids.map((id) => known.get(id) ?? api.item(id)));
  const lost = found.filter((one) => one.status === "rejected" && one.reason.status === NOT_FOUND).length;
  const gone = found.find((one) => one.status === "rejected" && one.reason.status !== NOT_FOUND);
  if (lost) tell(`${counted(lost, "item")} of the link ${lost === 1 ? "is" : "are"} not in this catalogue`);
  if (gone) throw gone.reason;
  history.replace(found.filter((one) => one.status === "fulfilled").map((one) => one.value));
}

function introduce(facts) {
  const title = facts.dataset ?? facts.name;
  document.getElementById("name").textContent = title;
  document.title = `${title} · iisan`;
  recount(facts);
  modalities.offer(Object.keys(facts.modalities), facts.has_states ? null : facts.why_no_states);
  if (facts.can_add) adding.allow(facts.needs_token);
}

function recount(facts) {
  document.getElementById("facts").textContent = `${counted(facts.n_items, "item")} · ${wordsOf(Object.keys(facts.modalities))}`;
  catalogue.size = facts.n_items;
}

function wordsOf(names) {
  if (names.length === 0) return "items known by their ids";
  return `ranked by ${names.map((name) => modalityName(name).toLocaleLowerCase()).join(" and ")}`;
}

let following = false;

async function changed() {
  if (following) return;
  keepLink();
  await recommendations.refresh();
}

async function follow() {
  following = true;
  try {
    await followLink();
  } catch (error) {
    tell(error.message);
  } finally {
    following = false;
  }
  await recommendations.refresh();
}

/** Everything anew: at the start, and once a service that was gone answers again. */
async function start() {
  catalogue.search();
  try {
    introduce(await api.about());
  } catch (error) {
    recommendations.fail(error, start);
    map.fail(error, start);
    return;
  }
  map.load();
  await follow();
}

/** After the catalogue changed. */
async function renew() {
  recommendations.refresh();
  try {
    recount(await api.about());
  } catch (error) {
    tell(error.message);
  }
  catalogue.search();
}

async function share() {
  try {
    await navigator.clipboard.writeText(location.href);
    tell("Link copied");
  } catch {
    tell("The link is in the address bar");
  }
}

function keys(event) {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  document.getElementById("query").focus();
}

history.addEventListener("change", changed);
modalities.addEventListener("change", changed);
adding.addEventListener("added", ({ detail }) => {
  map.mark(detail);
  renew();
});
adding.addEventListener("removed", ({ detail }) => {
  map.forget(detail);
  renew();
});
addEventListener("hashchange", follow);
document.addEventListener("keydown", keys);
document.getElementById("share").addEventListener("click", share);
document.getElementById("skip").addEventListener("click", (event) => {
  // The address keeps the history, not the place on the page.
  event.preventDefault();
  document.getElementById("recommendations").focus();
});
start();
