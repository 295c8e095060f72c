// The charts of results over time, one for each key, drawn by plotly once its script is loaded; and the sparklines.
"use strict";
const chart = (() => {
  const LINES = 12;
  const GAP_WINDOWS = 3;
  const COLOURS = 8;
  const LETTER_PIXELS = 7; // of the title of an axis, on average
  const AROUND_PIXELS = 42; // margins above and below
  const LOAD_AGAIN_MS = 5000;
  const area = document.getElementById("charts");
  let analytics = null;
  let groups = [];
  let search = "";
  let drawn = "";
  let library = null;
  let message = "Loading the chart …";

  function style(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function colour(index) {
    return style(`--series-${index % COLOURS}`);
  }

  // A line of text in the place of the chart, until it is drawn.
  function say(text) {
    message = text;
    update();
  }

  function update() {
    const empty = document.getElementById("chart-empty");
    let text = message;
    if (analytics === null) text = "Waiting for the first results …";
    else if (groups.length === 0 && search !== "") text = words.shown(`No ${analytics.group} matches “${search}”.`);
    else if (!groups.some((group) => group.results.length > 0)) text = words.shown(`The first ${analytics.result} comes at the end of the first window.`);
    if (empty.textContent !== text) empty.textContent = text;
    empty.hidden = text === "";
    area.classList.toggle("pending", text !== "");
  }

  function load() {
    if (library !== null) return;
    // The page's policy forbids inline styles. Plotly sets some as attributes; as properties they are allowed. Its style
    // sheet for maps is not needed.
    SVGElement.prototype.setAttribute = function setAttribute(name, value) {
      if (name === "style") this.style.cssText = value;
      else Element.prototype.setAttribute.call(this, name, value);
    };
    document.head.appendChild = function appendChild(node) {
      return node instanceof HTMLStyleElement ? node : Node.prototype.appendChild.call(this, node);
    };
    library = document.createElement("script");
    library.src = document.body.dataset.chartLibrary;
    library.addEventListener("load", () => draw());
    library.addEventListener("error", () => {
      say("The chart could not be loaded. The table shows the same values.");
      library.remove();
      library = null;
      setTimeout(load, LOAD_AGAIN_MS);
    });
    document.head.append(library);
  }

  // With an empty point where results are missing: a line across hours without data would look like data.
  function unbroken(results) {
    const longest = GAP_WINDOWS * analytics.slide_ms;
    return results.flatMap((result, index) => {
      const before = results[index - 1];
      const gap = { ts: result.ts - 1, values: {}, readings: null };
      return before !== undefined && result.ts - before.ts > longest ? [gap, result] : [result];
    });
  }

  function traces(key) {
    return groups.slice(0, LINES).map((group, index) => {
      const known = unbroken(group.results.filter((result) => result.values[key] !== undefined));
      return {
        type: "scatter",
        mode: known.length > 1 ? "lines+markers" : "markers",
        name: words.plotly(group.name),
        x: known.map((result) => local(result.ts)),
        y: known.map((result) => result.values[key] ?? null),
        customdata: known.map((result) => (result.readings === null ? "" : ` · ${words.grouped(result.readings)} readings`)),
        hovertemplate: "%{y:.2f}%{customdata}",
        line: { color: colour(index), width: 2, dash: index < COLOURS ? "solid" : "dot" },
        marker: { color: colour(index), size: analytics.keys.length > 1 ? 4 : 5 },
      };
    });
  }

  // Of the axis and of the label under the pointer: days where windows are hours or days.
  function timeFormats() {
    const times = groups.slice(0, LINES).flatMap((group) => group.results.map((result) => result.ts));
    const hours = (Math.max(...times) - Math.min(...times)) / 3600000;
    if (hours > 20) return [hours > 72 ? "%d %b" : "%d %b %H:%M", "%Y-%m-%d %H:%M"];
    return [analytics.slide_ms % 60000 ? "%H:%M:%S" : "%H:%M", "%H:%M:%S"];
  }

  function layout(title, width, height) {
    const [tickformat, hoverformat] = timeFormats();
    const text = style("--muted");
    const grid = style("--line");
    const letters = Math.max(12, Math.floor((height - AROUND_PIXELS) / LETTER_PIXELS));
    const cut = title.length > letters ? `${title.slice(0, letters - 1)}…` : title;
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style("--font"), size: 13, color: text },
      margin: { l: 58, r: 12, t: 10, b: 32 },
      showlegend: false,
      dragmode: false,
      hovermode: "x unified",
      hoverdistance: -1, // wherever the pointer is, the nearest window
      hoverlabel: { bgcolor: style("--raised"), bordercolor: grid, font: { family: style("--font"), color: style("--text") } },
      xaxis: { type: "date", gridcolor: "rgba(0,0,0,0)", linecolor: grid, fixedrange: true, hoverformat, nticks: width < 280 ? 3 : width < 480 ? 4 : 8, tickformat, tickangle: 0 },
      yaxis: { title: { text: words.plotly(cut), font: { size: 12.5 }, standoff: 6 }, gridcolor: grid, zeroline: false, fixedrange: true, nticks: 6, tickformat: ",~g" },
      uirevision: "same",
    };
  }

  // Plotly shows numbers on a date axis as UTC; the page shows local time.
  function local(ms) {
    return ms - new Date(ms).getTimezoneOffset() * 60000;
  }

  // One box per key; those of other keys are cleared.
  function boxes() {
    const wanted = analytics.keys;
    const known = new Map(Array.from(area.children, (box) => [box.dataset.key, box]));
    area.classList.toggle("several", wanted.length > 1);
    const found = wanted.map((key) => {
      let box = known.get(key.key);
      known.delete(key.key);
      if (box === undefined) {
        box = document.createElement("div");
        box.className = "chart";
        box.dataset.key = key.key;
        box.setAttribute("role", "img");
        const none = document.createElement("p");
        none.className = "empty none";
        box.append(document.createElement("div"), none);
      }
      box.setAttribute("aria-label", words.shown(`Line chart of ${key.title} by ${analytics.group} over time; the same values are in the table.`));
      return box;
    });
    for (const box of known.values()) {
      if (typeof Plotly !== "undefined") Plotly.purge(box.firstChild);
      box.remove();
    }
    found.forEach((box, index) => {
      if (area.children[index] !== box) area.insertBefore(box, area.children[index] ?? null);
    });
    return found;
  }

  function draw() {
    if (typeof Plotly === "undefined" || analytics === null || area.offsetParent === null) return;
    if (!groups.some((group) => group.results.length)) return;
    boxes().forEach((box, index) => {
      const { key, title } = analytics.keys[index];
      const data = traces(key);
      const isEmpty = !data.some((trace) => trace.y.length);
      box.lastChild.textContent = isEmpty ? words.shown(`No value of ${title} yet.`) : "";
      box.lastChild.hidden = !isEmpty;
      Plotly.react(box.firstChild, data, layout(words.shown(title), box.clientWidth, box.clientHeight), { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false });
    });
    document.documentElement.dataset.chart = "drawn";
    say("");
  }

  function show(newAnalytics, news, newSearch) {
    analytics = newAnalytics;
    groups = news;
    search = newSearch;
    update();
    const lines = groups.slice(0, LINES).map((group) => [group.name, group.results.length, group.results.at(-1), group.results.at(-2)]);
    const state = JSON.stringify([analytics.name, analytics.keys, lines]);
    if (state !== drawn) {
      drawn = state;
      draw();
    }
  }

  // A line through the newest values, as wide as its box. Hidden from screen readers, which read the numbers.
  function spark(svg, values) {
    const shown = values.slice(-40);
    if (shown.length < 2) {
      svg.firstElementChild?.setAttribute("points", "");
      return;
    }
    const low = Math.min(...shown);
    const span = Math.max(...shown) - low || 1;
    const points = shown.map((value, index) => `${((index / (shown.length - 1)) * 100).toFixed(1)},${(22 - ((value - low) / span) * 20).toFixed(1)}`);
    let line = svg.firstElementChild;
    if (line === null) {
      svg.setAttribute("viewBox", "0 0 100 24");
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("aria-hidden", "true");
      line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
      svg.append(line);
    }
    line.setAttribute("points", points.join(" "));
  }

  return { load, show, draw, spark, LINES, COLOURS };
})();
