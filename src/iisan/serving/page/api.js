// The service as functions. Whatever goes wrong is thrown as a Problem with a sentence for people.

// The page's files lie one folder below the service, wherever a proxy puts both.
const ROOT = new URL("..", import.meta.url);
const PATIENCE = 30_000;
const ENCODING_PATIENCE = 120_000;

export class Problem extends Error {
  /**
   * @param {number} status Of HTTP; 0 where no answer came.
   * @param {string} title
   * @param {string} detail
   * @param {number} [after] Seconds after which the service wants to be asked again.
   */
  constructor(status, title, detail, after) {
    super(detail || title);
    Object.assign(this, { status, title, detail, after });
  }
}

const SENTENCES = {
  0: ["The service does not answer", "It may have been stopped, or the network is down."],
  401: ["A token is needed", "Adding and removing items needs the token of this service."],
  403: ["Not allowed", "This service does not allow it."],
  413: ["Too large", "The picture or the text is larger than the service takes."],
  429: ["Too many requests", "The service asks to wait a moment."],
  503: ["The service is not ready", "It is starting, or busy. Try again in a moment."],
};

async function ask(path, { method = "GET", body, signal, token, patience = PATIENCE } = {}) {
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined && !(body instanceof FormData)) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(body);
  }
  const limit = AbortSignal.timeout(patience);
  let response;
  try {
    response = await fetch(new URL(path, ROOT), {
      method, headers, body, credentials: "same-origin", signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    if (response.status === 204) return null;
    if (response.ok) return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (limit.aborted) throw new Problem(0, "No answer in time", `The service took longer than ${patience / 1000} seconds.`);
    throw new Problem(0, ...SENTENCES[0]);
  }
  throw await problemOf(response);
}

async function problemOf(response) {
  let said = {};
  try {
    said = await response.json();
  } catch {
    // A proxy's page: its status is all there is to say.
  }
  const [title, detail] = SENTENCES[response.status] ?? ["That did not work", `The service answered ${response.status}.`];
  const after = Number(response.headers.get("Retry-After")) || undefined;
  return new Problem(response.status, title, typeof said.detail === "string" ? said.detail : detail, after);
}

const path = (id) => encodeURIComponent(id);

/** Where a picture is, seen from this page. */
export function pictureUrl(item) {
  return item.picture ? new URL(item.picture.replace(/^\//, ""), ROOT).href : null;
}

export const about = (signal) => ask("about", { signal });

export const item = (id, signal) => ask(`items/${path(id)}`, { signal });

export const search = async (query, limit, signal) =>
  (await ask(`items?query=${path(query)}&limit=${limit}`, { signal })).items;

export const similar = async (id, k, signal) => (await ask(`similar/${path(id)}?k=${k}`, { signal })).items;

/** @param {string[]|null} modalities What the model may look at; null for everything. */
export const recommend = async (history, k, modalities, signal) =>
  (await ask("recommend", { method: "POST", body: { history, k, exclude_seen: true, modalities }, signal })).items;

export const explain = (history, itemIds, signal) =>
  ask("explain", { method: "POST", body: { history, item_ids: itemIds }, signal });

/** @param {string[]} ids Items that must have a place, even where the map is a sample. */
export const map = (ids, signal) => ask(`map${ids.length ? "?" : ""}${ids.map((id) => `item_id=${path(id)}`).join("&")}`, { signal });

/** Adds an item; it is durable once this returns. */
export function add({ title, picture }, token) {
  const form = new FormData();
  form.append("title", title);
  if (picture) form.append("picture", picture, picture.name || "picture");
  return ask("items", { method: "POST", body: form, token, patience: ENCODING_PATIENCE });
}

export const remove = (id, token) => ask(`items/${path(id)}`, { method: "DELETE", token });
