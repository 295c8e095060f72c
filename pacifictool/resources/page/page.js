// Shows each snapshot. Elements are created a single time; only their texts change.
"use strict";
(() => {
  const HISTORY = 60;
  const COLUMNS = 12;
  const TREND = 40;
  const SPOKEN_EVERY_MS = 20000;
  const FALLBACK_AFTER_MS = 6000;
  const byId = (id) => document.getElementById(id);
  const histories = new Map();
  const trends = new Map();
  let spokenAt = -Infinity;
  let spokenVerdict = "";
  let receivedAt = 0;

  function set(element, text) {
    const shown = words.shown(text);
    if (element.textContent !== shown) element.textContent = shown;
  }

  function mark(element, name, value) {
    const text = value === null || value === undefined ? "" : String(value);
    if (element.dataset[name] !== text) element.dataset[name] = text;
  }

  function make(tag, className, text) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = words.shown(text);
    return element;
  }

  // One child of `parent` per item, matched by its key, in the order of the items.
  function children(parent, items, keyOf, create, update) {
    const known = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
    items.forEach((item, index) => {
      const key = keyOf(item);
      let child = known.get(key);
      if (child === undefined) {
        child = create(item);
        child.dataset.key = key;
      }
      known.delete(key);
      if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
      update(child, item, index);
    });
    for (const child of known.values()) child.remove();
  }

  // A sentence in which `pacifictool …` commands are between backticks; backticks in names stay.
  function sentence(element, text) {
    const parts = words.shown(text).split(/`(pacifictool [^`]*)`/);
    if (element.textContent === parts.join("")) return;
    element.replaceChildren(...parts.map((part, index) => (index % 2 ? make("code", "", part) : part)));
  }

  function list(parent, texts) {
    children(parent, texts, (text) => text, () => make("li"), sentence);
    parent.hidden = texts.length === 0;
  }

  // --- hops and flows -----------------------------------------------------------------------------------------------

  const SPOKEN_STATES = { flowing: "is flowing", still: "is not flowing", unknown: "is not known" };

  function showHops(snapshot) {
    const verdict = byId("verdict");
    sentence(verdict.firstElementChild, snapshot.verdict);
    const states = new Set(snapshot.hops.map((hop) => hop.state));
    mark(verdict, "state", !snapshot.ok ? "failed" : ["still", "unknown", "flowing"].find((state) => states.has(state)));
    snapshot.hops.forEach((hop, index) => {
      const item = document.querySelector(`[data-hop="${hop.name}"]`);
      mark(item, "state", hop.state);
      set(item.querySelector("h2"), hop.title);
      set(item.querySelector(".figure"), hop.figure === "?" ? "unknown" : hop.figure);
      set(item.querySelector(".detail"), hop.detail);
      const flow = snapshot.flows[index];
      const pipe = item.querySelector(".pipe");
      if (flow === undefined || pipe === null) return;
      set(pipe.querySelector(".rate"), flow.rate === null ? `? ${flow.unit}` : flow.text);
      mark(pipe, "state", flow.rate === null ? "unknown" : flow.rate > 0 ? "flowing" : "still");
      // Ten times the rate moves twice as fast; in steps, because each change makes the dots jump.
      const perSecond = flow.unit.endsWith("/min") ? (flow.rate ?? 0) / 2 : (flow.rate ?? 0);
      const period = (2.4 / 2 ** Math.round(Math.log10(1 + perSecond))).toFixed(2);
      if (pipe.dataset.period !== period) {
        pipe.dataset.period = period;
        pipe.style.setProperty("--period", `${period}s`);
      }
    });
    const reasons = new Map();
    for (const hop of snapshot.hops) {
      if (hop.unknown && !reasons.has(hop.unknown)) reasons.set(hop.unknown, `${hop.title} unknown: ${hop.unknown}`);
    }
    list(byId("reasons"), [...reasons.values()]);
    const { generation, url } = snapshot.platform;
    set(byId("place"), [url.replace(/^https?:\/\//, ""), generation && `server ${generation}`].filter(Boolean).join(" · "));
  }

  // --- zones --------------------------------------------------------------------------------------------------------

  function withHistory(zone) {
    const known = histories.get(zone.name) ?? new Map();
    for (const mean of zone.means) known.set(mean.ts, mean);
    const kept = [...known.values()].sort((a, b) => a.ts - b.ts).slice(-HISTORY);
    histories.set(zone.name, new Map(kept.map((mean) => [mean.ts, mean])));
    return { ...zone, means: kept };
  }

  function newCard() {
    const card = make("li", "zone");
    card.append(make("h3", "name"), make("p", "value"), document.createElementNS("http://www.w3.org/2000/svg", "svg"), make("p", "about"));
    const progress = make("span", "window");
    progress.setAttribute("aria-hidden", "true");
    progress.append(make("i"));
    card.append(progress);
    return card;
  }

  function showCard(card, zone, index, windowMs) {
    card.style.setProperty("--series", `var(--series-${index % chart.COLOURS})`);
    mark(card, "zone", zone.name);
    mark(card, "ts", zone.ts);
    mark(card, "value", zone.value);
    const [name, value, svg, about, progress] = card.children;
    set(name, zone.name);
    set(value, words.mean(zone.value));
    const readings = zone.readings === null ? "" : ` · ${words.grouped(zone.readings)} readings`;
    set(about, zone.value === null ? (zone.unknown ?? "") : `${words.age(zone.age_seconds)}${readings}`);
    const share = zone.age_seconds === null ? 0 : (zone.age_seconds * 1000) / windowMs;
    mark(card, "fresh", zone.age_seconds !== null && share <= 2.5 + 5000 / windowMs);
    progress.firstChild.style.setProperty("--share", Math.min(1, share).toFixed(3));
    chart.spark(svg, zone.means.map((mean) => mean.value));
  }

  function showMeansTable(zones) {
    const times = [...new Set(zones.flatMap((zone) => zone.means.map((mean) => mean.ts)))].sort((a, b) => b - a).slice(0, COLUMNS);
    const [head, body] = [byId("means-table").tHead, byId("means-table").tBodies[0]];
    const titles = [{ key: "zone", text: "Zone" }, ...times.map((ts) => ({ key: String(ts), text: words.clock(ts) }))];
    if (head.rows.length === 0) head.append(make("tr"));
    children(head.rows[0], titles, (title) => title.key, (title) => {
      const cell = make("th", title.key === "zone" ? "" : "number", title.text);
      cell.scope = "col";
      return cell;
    }, () => {});
    children(body, zones, (zone) => zone.name, () => make("tr"), (row, zone) => {
      const cells = [{ key: "zone", text: zone.name }, ...times.map((ts) => ({ key: String(ts), text: words.mean(histories.get(zone.name).get(ts)?.value ?? null) }))];
      children(row, cells, (cell) => cell.key, (cell) => {
        if (cell.key !== "zone") return make("td", "number");
        const heading = make("th");
        heading.scope = "row";
        return heading;
      }, (element, cell) => set(element, cell.text));
    });
  }

  function showZones(snapshot) {
    const zones = snapshot.zones.map(withHistory);
    const seconds = snapshot.window_ms / 1000;
    const more = zones.length > chart.LINES ? `, the first ${chart.LINES} of ${words.grouped(snapshot.zones_total)} zones; the table has more` : "";
    set(byId("zones-sub"), `${snapshot.value_key}, one mean every ${seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`}${more}`);
    children(byId("cards"), zones.slice(0, chart.LINES), (zone) => zone.name, newCard, (card, zone, index) => showCard(card, zone, index, snapshot.window_ms));
    if (!byId("table-view").hidden) showMeansTable(zones);
    chart.show(zones);
  }

  // --- devices and job ----------------------------------------------------------------------------------------------

  function newRow() {
    const row = make("tr");
    const name = make("th");
    name.scope = "row";
    name.append(make("span", "name"), make("small", "where"));
    const trend = make("td", "wide trend");
    trend.append(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
    row.append(name, make("td", "wide"), trend, make("td", "number strong"), make("td", "number"), make("td", "number"));
    return row;
  }

  function showRow(row, device) {
    mark(row, "device", device.name);
    mark(row, "ts", device.ts);
    mark(row, "value", device.value);
    mark(row, "reporting", Boolean(device.rate));
    const [name, zone, trend, last, measured, rate] = row.cells;
    set(name.firstChild, device.name);
    set(name.lastChild, device.ts === null ? (device.unknown ?? "") : (device.zone ?? ""));
    set(zone, device.ts === null ? (device.unknown ?? "–") : (device.zone ?? "–"));
    set(last, words.reading(device.value));
    set(measured, words.age(device.age_seconds));
    set(rate, words.rate(device.rate));
    if (typeof device.value !== "number") return;
    const seen = trends.get(device.name) ?? { ts: null, values: [] };
    if (seen.ts !== device.ts) {
      seen.ts = device.ts;
      seen.values = [...seen.values, device.value].slice(-TREND);
      trends.set(device.name, seen);
      chart.spark(trend.firstChild, seen.values);
    }
  }

  function showDevices(snapshot) {
    children(byId("devices").tBodies[0], snapshot.devices, (device) => device.name, newRow, showRow);
    for (const name of trends.keys()) {
      if (trends.size > 200 && !snapshot.devices.some((device) => device.name === name)) trends.delete(name);
    }
    const { reporting, is_estimate: isEstimate, rate } = snapshot.platform;
    const about = isEstimate ? "about " : "";
    set(byId("devices-sub"), reporting === null ? "" : `${about}${words.grouped(reporting)} of ${words.grouped(snapshot.devices_total)} report, ${about}${words.rate(rate)}`);
  }

  function showJob({ job }) {
    for (const cell of byId("job").querySelectorAll("[data-job]")) {
      const value = job[cell.dataset.job];
      set(cell, typeof value === "number" ? words.grouped(value) : (value ?? "–"));
    }
    mark(byId("job"), "state", job.state);
    mark(byId("job").querySelector('[data-job="rejects"]').parentElement, "alarm", job.rejects > 0);
    byId("job-unknown").hidden = job.unknown === null;
    byId("job").hidden = job.unknown !== null;
    sentence(byId("job-unknown"), job.unknown ?? "");
    set(byId("job-sub"), job.target === null ? "" : `to ${job.target}`);
    list(byId("rejects"), Object.entries(job.rejects_by_reason).slice(0, 3).map(([reason, count]) => `${words.grouped(count)} × ${reason}`));
  }

  // --- what a screen reader reads -------------------------------------------------------------------------------------

  function speak(snapshot) {
    const now = performance.now();
    if (now - spokenAt < SPOKEN_EVERY_MS && snapshot.verdict === spokenVerdict) return;
    spokenAt = now;
    spokenVerdict = snapshot.verdict;
    const stops = snapshot.hops.filter((hop) => hop.state !== "flowing").map((hop) => `${hop.title} ${SPOKEN_STATES[hop.state]}.`);
    const means = snapshot.zones.slice(0, 4).filter((zone) => zone.value !== null).map((zone) => `${zone.name} ${words.mean(zone.value)}`);
    set(byId("summary"), [snapshot.verdict, ...stops, means.join(", ")].filter(Boolean).join(" "));
  }

  function show(snapshot) {
    receivedAt = performance.now();
    showHops(snapshot);
    showZones(snapshot);
    showDevices(snapshot);
    showJob(snapshot);
    list(byId("notes"), snapshot.notes);
    set(byId("clock"), `Last update at ${words.clock(snapshot.ts)}.`);
    speak(snapshot);
    const shown = snapshot.zones.slice(0, 3).filter((zone) => zone.value !== null).map((zone) => `${zone.name} ${words.mean(zone.value)}`);
    document.title = shown.length ? words.shown(`${shown.join(" · ")} – watch`) : "pacifictool watch";
    if (document.documentElement.dataset.ready === undefined) {
      document.documentElement.dataset.ready = "values";
      performance.mark("values");
      // After the values are painted: the chart's script is large.
      requestAnimationFrame(() => setTimeout(chart.load));
      setTimeout(chart.load, 500); // a page in the background is not painted
    }
  }

  function connected(state, text) {
    mark(byId("connection"), "state", state);
    set(byId("connection").lastElementChild, text);
  }

  async function poll() {
    try {
      const response = await fetch("/watch/snapshot", { cache: "no-store" });
      if (!response.ok) throw new Error(String(response.status));
      show(await response.json());
      connected("live", "Live");
    } catch {
      connected("lost", "No response, trying again");
    }
    setTimeout(poll, 1000);
  }

  function listen() {
    const events = new EventSource("/watch/events");
    events.addEventListener("message", (event) => {
      show(JSON.parse(event.data));
      connected("live", "Live");
    });
    events.addEventListener("error", () => {
      connected("lost", "No response, trying again");
      // The browser reconnects by itself, except after an error status.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
    });
    // Some proxies buffer a stream until it ends, which this one never does.
    setTimeout(() => {
      if (receivedAt === 0 && events.readyState === EventSource.OPEN) {
        events.close();
        poll();
      }
    }, FALLBACK_AFTER_MS);
  }

  // --- controls -----------------------------------------------------------------------------------------------------

  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.scheme ?? (system.matches ? "dark" : "light")) === "dark";

  function schemeChanged() {
    byId("scheme").setAttribute("aria-pressed", String(isDark()));
    chart.draw();
  }

  byId("scheme").addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.scheme = chosen;
    try {
      localStorage.setItem("pacifictool-scheme", chosen);
    } catch {
      // Without storage, the choice lasts as long as the page.
    }
    schemeChanged();
  });
  system.addEventListener("change", schemeChanged);

  function choose(asTable) {
    byId("as-chart").setAttribute("aria-pressed", String(!asTable));
    byId("as-table").setAttribute("aria-pressed", String(asTable));
    byId("table-view").hidden = !asTable;
    byId("chart-view").hidden = asTable;
    if (asTable) showMeansTable([...histories].map(([name, means]) => ({ name, means: [...means.values()] })));
    else chart.draw();
  }

  byId("as-chart").addEventListener("click", () => choose(false));
  byId("as-table").addEventListener("click", () => choose(true));

  schemeChanged();
  listen();
})();
