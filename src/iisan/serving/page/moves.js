// How a list differs from the one with everything on.

/**
 * @param {{item_id: string}[]} items The list shown.
 * @param {{item_id: string}[]} before The list to compare with, which may be longer.
 * @returns {Map<string, {before: number|null, by: number}>} For each item its place before (1 for the first; null beyond
 *   what was asked for) and by how many places it rose.
 */
export function movesOf(items, before) {
  const places = new Map(before.map((one, place) => [one.item_id, place + 1]));
  return new Map(items.map(({ item_id }, place) => {
    const old = places.get(item_id) ?? null;
    return [item_id, { before: old, by: old === null ? 0 : old - (place + 1) }];
  }));
}
