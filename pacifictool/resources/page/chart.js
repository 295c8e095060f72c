// The chart of means over time, drawn by plotly once its script is loaded; and the sparklines in cards and rows.
"use strict";
const chart = (() => {
  const LINES = 12;
  const COLOURS = 8;
  const area = document.getElementById("chart");
  let zones = [];
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
    const text = zones.some((zone) => zone.means.length > 0) ? message : "The first mean comes at the end of the first window.";
    if (empty.textContent !== text) empty.textContent = text;
    empty.hidden = text === "";
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
    library.addEventListener("error", () => say("The chart could not be loaded. The table shows the same values."));
    document.head.append(library);
  }

  function traces() {
    return zones.slice(0, LINES).map((zone, index) => ({
      type: "scatter",
      mode: "lines+markers",
      name: words.plotly(zone.name),
      x: zone.means.map((mean) => mean.ts),
      y: zone.means.map((mean) => mean.value),
      customdata: zone.means.map((mean) => (mean.readings === null ? "" : ` · ${words.grouped(mean.readings)} readings`)),
      hovertemplate: "%{y:.2f}%{customdata}",
      line: { color: colour(index), width: 2, dash: index < COLOURS ? "solid" : "dot" },
      marker: { color: colour(index), size: 5 },
    }));
  }

  function layout() {
    const text = style("--muted");
    const grid = style("--line");
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style("--font"), size: 13, color: text },
      margin: { l: 40, r: 12, t: 10, b: 32 },
      showlegend: false,
      dragmode: false,
      hovermode: "x unified",
      hoverlabel: { bgcolor: style("--raised"), bordercolor: grid, font: { family: style("--font"), color: style("--text") } },
      xaxis: { type: "date", gridcolor: "rgba(0,0,0,0)", linecolor: grid, fixedrange: true, hoverformat: "window until %H:%M:%S", nticks: area.clientWidth < 480 ? 4 : 8, tickformat: "%H:%M:%S", tickangle: 0 },
      yaxis: { gridcolor: grid, zeroline: false, fixedrange: true, nticks: 6, tickformat: ",~g" },
      uirevision: "same",
    };
  }

  // Plotly shows numbers on a date axis as UTC; the page shows local time.
  function local(ms) {
    return ms - new Date(ms).getTimezoneOffset() * 60000;
  }

  function draw() {
    if (typeof Plotly === "undefined" || area.offsetParent === null || !zones.some((zone) => zone.means.length)) return;
    const data = traces();
    for (const trace of data) trace.x = trace.x.map(local);
    Plotly.react(area, data, layout(), { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: false });
    document.documentElement.dataset.chart = "drawn";
    say("");
  }

  function show(news) {
    zones = news;
    update();
    const state = JSON.stringify(zones.slice(0, LINES).map((zone) => [zone.name, zone.means.length, zone.means.at(-1), zone.means.at(-2)]));
    if (state !== drawn) {
      drawn = state;
      draw();
    }
  }

  // A line through the newest values, as wide as its box. Hidden from screen readers, which read the numbers.
  function spark(svg, values) {
    const shown = values.slice(-40);
    if (shown.length < 2) return;
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
