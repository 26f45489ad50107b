// Draws the points of a map by plotly, and its colours: groups with a colour and a shape each, or a ramp of numbers.
const mapPlot = (() => {
  const ss = window.sleepsearch, Plotly = window.Plotly;
  const SHAPES = ["circle", "square", "diamond", "triangle-up", "cross"], GLYPHS = ["●", "■", "◆", "▲", "✚"];
  const INKS = 8, FAINT = 0.14;
  const STAGES = ["W", "REM", "N1", "N2", "N3", "NREM"];
  const kind = document.createElement("canvas").getContext("webgl") ? "scattergl" : "scatter";

  /** Groups of points by a text: [{name, places, ink, shape, glyph}], known ones by count, unknown last. */
  function groups(values, column) {
    const places = new Map();
    values.forEach((value, place) => {
      const name = value === null || value === "" ? null : String(value);
      if (!places.has(name)) places.set(name, []);
      places.get(name).push(place);
    });
    const unknown = places.get(null) || [];
    places.delete(null);
    let named = [...places].map(([name, found]) => ({ name, places: found }));
    const order = (group) => STAGES.indexOf(group.name);
    named.sort((a, b) => (column === "stage" ? order(a) - order(b) : b.places.length - a.places.length));
    const most = INKS * SHAPES.length;
    if (named.length > most) {
      const rest = named.slice(most - 1);
      named = [...named.slice(0, most - 1), { name: `${rest.length} others`, places: rest.flatMap((g) => g.places) }];
    }
    named.forEach((group, i) => {
      const stage = column === "stage";
      group.ink = ss.colour(stage ? `--stage-${group.name}` : `--map-${(i % INKS) + 1}`);
      const shape = stage ? 0 : Math.floor(i / INKS);
      [group.shape, group.glyph] = [SHAPES[shape], GLYPHS[shape]];
    });
    if (unknown.length) {
      const name = column === "stage" ? "unscored" : "not known";
      named.push({ name, places: unknown, ink: ss.colour("--map-unknown"), shape: "circle", glyph: "●" });
    }
    return named;
  }

  /** A ramp over numbers: [{name, places, values, low, high, colours}], and those that have none as a second group. */
  function ramp(values) {
    const places = [], unknown = [];
    values.forEach((value, place) => (value === null ? unknown : places).push(place));
    const sorted = places.map((place) => values[place]).sort((a, b) => a - b);
    const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
    let [low, high] = [at(0.02), at(0.98)];
    if (low === high) [low, high] = [at(0), at(1)];
    const colours = ss.colour("--map-ramp").split(",").map((c) => c.trim());
    const found = [{ name: "known", places, values: places.map((p) => values[p]), low, high, colours,
      cut: [low > at(0), high < at(1)] }];
    if (unknown.length) {
      found.push({ name: "not known", places: unknown, ink: ss.colour("--map-unknown"), shape: "circle", glyph: "●" });
    }
    return found;
  }

  /** Draw the groups; `hidden` names those that are switched off, `chosen` is a Set of places or null. */
  function draw(div, map, found, { hidden, chosen, texts, mode }) {
    const size = map.x.length > 4000 ? 4 : map.x.length > 300 ? 5.5 : 10;
    const traces = found.map((group) => {
      const marker = { size, opacity: 0.85, line: { width: 0 } };
      if (group.values) {
        const stops = group.colours.map((c, i) => [i / (group.colours.length - 1), c]);
        Object.assign(marker, { color: group.values, cmin: group.low, cmax: group.high, colorscale: stops });
      } else Object.assign(marker, { color: group.ink, symbol: group.shape });
      const trace = {
        type: kind, mode: "markers", name: group.name, marker, customdata: group.places, hoverinfo: "text",
        x: group.places.map((p) => map.x[p]), y: group.places.map((p) => map.y[p]),
        text: group.places.map((p) => texts(p)), visible: !hidden.has(group.name), showlegend: false,
        unselected: { marker: { opacity: FAINT } }, selected: { marker: { opacity: 1 } },
      };
      if (chosen) trace.selectedpoints = group.places.flatMap((p, i) => (chosen.has(p) ? [i] : []));
      return trace;
    });
    const none = { visible: false, showgrid: false, zeroline: false };
    const layout = {
      margin: { l: 8, r: 8, t: 8, b: 8 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: { ...none }, yaxis: { ...none, scaleanchor: "x" }, dragmode: mode, hovermode: "closest", selections: [],
      uirevision: map.key, newselection: { line: { color: ss.colour("--accent"), width: 1.5, dash: "dot" } },
      hoverlabel: { bgcolor: ss.colour("--card"), bordercolor: ss.colour("--line"), align: "left",
        font: { color: ss.colour("--ink"), size: 12 } },
    };
    return Plotly.react(div, traces, layout, { displayModeBar: false, scrollZoom: true, responsive: true });
  }

  /** The legend as buttons with counts, or as a ramp with its ends. */
  function legend(found, hidden, says, chosen) {
    const head = `<h4>${ss.esc(says)}</h4>`;
    const rows = found.map((group) => {
      const n = chosen ? `${group.places.filter((p) => chosen.has(p)).length} of ` : "";
      const count = n + group.places.length.toLocaleString("en");
      if (!group.values) {
        return `<button type="button" data-group="${ss.esc(group.name)}" aria-pressed="${!hidden.has(group.name)}">` +
          `<i style="color:${group.ink}" aria-hidden="true">${group.glyph}</i><span>${ss.esc(group.name)}</span>` +
          `<span class="n">${count}</span></button>`;
      }
      if (!group.places.length) return "<p class=\"dim\">known of no point here</p>";
      const [low, high] = [group.low, group.high].map((v) => Number(v.toPrecision(3)));
      return `<div class="ramp" style="background:linear-gradient(to right, ${group.colours.join(",")})"></div>` +
        `<div class="ends"><span>${group.cut[0] ? "≤ " : ""}${low}</span><span>${count} points</span>` +
        `<span>${group.cut[1] ? "≥ " : ""}${high}</span></div>`;
    });
    return head + rows.join("");
  }

  return { groups, ramp, draw, legend };
})();
