// The history and the switches in the part of the address behind '#', so that a link shows the same page to others.

const HISTORY = "h";
const OFF = "off";

/** What a hash says; null for one that is of something else. */
export function readLink(hash) {
  const fields = new Map();
  for (const field of hash.replace(/^#/, "").split("&").filter(Boolean)) {
    const [name, value = ""] = field.split("=", 2);
    if (name !== HISTORY && name !== OFF) return null;
    fields.set(name, value.split(",").filter(Boolean).map(decoded));
  }
  return { ids: [...new Set(fields.get(HISTORY) ?? [])], off: fields.get(OFF) ?? [] };
}

export function writeLink({ ids, off }) {
  const list = (values) => values.map(encodeURIComponent).join(",");
  const fields = [];
  if (ids.length) fields.push(`${HISTORY}=${list(ids)}`);
  if (off.length) fields.push(`${OFF}=${list(off)}`);
  return fields.length ? `#${fields.join("&")}` : "";
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // A link that was cut.
  }
}
