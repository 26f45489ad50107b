// Tiles of traces: stretches of one window's length, fetched when they are seen, the neighbours after them, a few kept.
const TILES_KEPT = 24, TILES_AT_ONCE = 2, RETRY_MS = 3000;

/** A store of tiles. `ask(start, stop, columns)` fetches one; `arrived()` is called for one that is seen. */
function makeTiles(ask, { arrived, reading }) {
  const kept = new Map();
  let seen = [], beside = [], pending = 0;

  const got = (key) => (kept.get(key)?.traces ? kept.get(key) : null);

  /** What is seen now, and what may be next; each `{key, start, stop, columns}`. */
  function want(now, next) {
    [seen, beside] = [now, next];
    reading(seen.some(({ key }) => !got(key)));
    while (pending < TILES_AT_ONCE) {
      const first = seen.find(({ key }) => !kept.has(key)) ?? (pending ? null : beside.find(({ key }) => !kept.has(key)));
      if (!first) return;
      fetchOne(first);
    }
  }

  async function fetchOne({ key, start, stop, columns }) {
    kept.set(key, "asked");
    pending++;
    try {
      const found = await ask(start, stop, columns);
      const traces = Object.fromEntries(Object.entries(found.traces).map(([name, pieces]) => [name, pieces.map(pieceOf)]));
      kept.set(key, { ...found, traces });
      if (found.done < 1) setTimeout(() => { kept.delete(key); want(seen, beside); }, RETRY_MS); // some channels are not ready
      for (const old of kept.keys()) if (kept.size > TILES_KEPT && !seen.some((tile) => tile.key === old)) kept.delete(old);
    } catch {
      setTimeout(() => kept.delete(key), RETRY_MS);
    } finally {
      pending--;
    }
    if (seen.some((tile) => tile.key === key)) arrived();
    else want(seen, beside);
  }

  return { got, want };
}
