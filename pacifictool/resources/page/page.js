// Shows each snapshot. Elements are created a single time; only their texts change.
"use strict";
(() => {
  const HISTORY = 60;
  const COLUMNS = 12;
  const FEW = 12; // groups that need neither search nor order
  const TREND = 40;
  const CHANGE_AFTER_MS = 250;
  const SPOKEN_EVERY_MS = 20000;
  const FALLBACK_AFTER_MS = 6000;
  const byId = (id) => document.getElementById(id);
  const histories = new Map(); // by analytics and group
  const trends = new Map(); // by device and key
  const asked = new URLSearchParams(location.search);
  let spokenAt = -Infinity;
  let spokenVerdict = "";
  let receivedAt = 0;
  let newest = null;
  let events = null;
  let changing = null;

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
      mark(item.querySelector(".figure"), "long", hop.figure.length > 8);
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

  // --- alarms -------------------------------------------------------------------------------------------------------

  function newAlarm() {
    const item = make("li", "alarm");
    const what = make("div", "what");
    what.append(make("h3", "type"), make("p", "entity"), make("p", "details"));
    const since = make("p", "since");
    since.append(make("time"), make("span", "age"));
    item.append(make("p", "severity"), what, since);
    return item;
  }

  function showAlarm(item, alarm, now) {
    mark(item, "severity", alarm.severity);
    set(item.querySelector(".severity"), alarm.severity);
    set(item.querySelector(".type"), alarm.type);
    set(item.querySelector(".entity"), alarm.entity);
    set(item.querySelector(".details"), alarm.details);
    item.querySelector(".details").hidden = alarm.details === "";
    set(item.querySelector("time"), `since ${words.moment(alarm.start_ts, now)}`);
    set(item.querySelector(".age"), words.age(Math.max(0, now - alarm.start_ts) / 1000));
  }

  function alarmsText({ alarms, alarms_total: total, alarms_unknown: unknown }) {
    if (unknown !== null) return alarms.length ? `as known last: ${unknown}` : `not known: ${unknown}`;
    if (alarms.length === 0) return total === null ? "none found so far" : "none is active";
    if (total === null) return `${words.grouped(alarms.length)} active so far`;
    return `${words.grouped(total)} active${alarms.length < total ? `; the ${words.grouped(alarms.length)} most urgent are shown` : ""}`;
  }

  function showAlarms(snapshot) {
    const { alarms, alarms_unknown: unknown, alarms_expected: expected, ok } = snapshot;
    // Once shown, the panel stays, so that it can tell that the last alarm is over.
    const panel = byId("alarms-panel");
    if (alarms.length || expected || (ok && unknown !== null && newest !== null)) panel.hidden = false;
    if (panel.hidden) return;
    sentence(byId("alarms-sub"), alarmsText(snapshot));
    children(byId("alarms"), alarms, (alarm) => alarm.id, newAlarm, (item, alarm) => showAlarm(item, alarm, snapshot.ts));
    byId("alarms").hidden = alarms.length === 0;
  }

  // --- results ------------------------------------------------------------------------------------------------------

  const capitalised = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  function chosenAnalytics(snapshot) {
    return snapshot.analytics.find((each) => each.name === snapshot.chosen) ?? snapshot.analytics[0];
  }

  function withHistory(analytics, group) {
    const key = JSON.stringify([analytics.name, group.name]);
    const known = histories.get(key) ?? new Map();
    for (const result of group.results) known.set(result.ts, result);
    const kept = [...known.values()].sort((a, b) => a.ts - b.ts).slice(-HISTORY);
    histories.set(key, new Map(kept.map((result) => [result.ts, result])));
    return { ...group, results: kept };
  }

  function valuesOf(group, key) {
    return group.results.map((result) => result.values[key]).filter((value) => value !== undefined);
  }

  function chosenKey(analytics) {
    return analytics.keys.find((key) => key.key === asked.get("key")) ?? analytics.keys[0];
  }

  function newCard() {
    const card = make("li", "group");
    card.append(make("h3", "name"), make("p", "value"), document.createElementNS("http://www.w3.org/2000/svg", "svg"), make("dl", "values"), make("p", "about"));
    const progress = make("span", "window");
    progress.setAttribute("aria-hidden", "true");
    progress.append(make("i"));
    card.append(progress);
    return card;
  }

  function showCard(card, group, index, analytics) {
    card.style.setProperty("--series", index < chart.LINES ? `var(--series-${index % chart.COLOURS})` : "var(--line)");
    const [first] = analytics.keys;
    const value = group.values[first.key] ?? null;
    const isSingle = analytics.keys.length === 1;
    mark(card, "group", group.name);
    mark(card, "ts", group.ts);
    mark(card, "value", value);
    mark(card, "single", isSingle);
    const [name, large, svg, values, about, progress] = card.children;
    set(name, group.name);
    set(large, words.result(valuesOf(group, first.key)));
    children(values, isSingle ? [] : analytics.keys, (key) => key.key, () => {
      const pair = make("div");
      pair.append(make("dt"), make("dd"));
      return pair;
    }, (pair, key) => {
      set(pair.firstChild, key.title);
      set(pair.lastChild, words.result(valuesOf(group, key.key)));
    });
    const readings = group.readings === null ? "" : ` · ${words.grouped(group.readings)} readings`;
    set(about, group.ts === null ? (group.unknown ?? "") : `${words.age(group.age_seconds)}${readings}`);
    const share = group.age_seconds === null ? 0 : (group.age_seconds * 1000) / analytics.slide_ms;
    mark(card, "fresh", group.is_fresh);
    progress.firstChild.style.setProperty("--share", Math.min(1, share).toFixed(3));
    if (isSingle) chart.spark(svg, valuesOf(group, first.key));
  }

  function showTable(analytics, groups) {
    const key = chosenKey(analytics).key;
    const times = [...new Set(groups.flatMap((group) => group.results.map((result) => result.ts)))].sort((a, b) => b - a).slice(0, COLUMNS);
    const [head, body] = [byId("results-table").tHead, byId("results-table").tBodies[0]];
    const titles = [{ key: "group", text: capitalised(analytics.group) }, ...times.map((ts) => ({ key: String(ts), text: words.moment(ts, newest?.ts ?? ts) }))];
    if (head.rows.length === 0) head.append(make("tr"));
    children(head.rows[0], titles, (title) => title.key, (title) => {
      const cell = make("th", title.key === "group" ? "" : "number");
      cell.scope = "col";
      return cell;
    }, (cell, title) => set(cell, title.text));
    children(body, groups, (group) => group.name, () => make("tr"), (row, group) => {
      const known = new Map(group.results.map((result) => [result.ts, result.values[key] ?? null]));
      const text = valuesOf(group, key).every(Number.isInteger) ? words.reading : words.mean;
      const cells = [{ key: "group", text: group.name }, ...times.map((ts) => ({ key: String(ts), text: text(known.get(ts) ?? null) }))];
      children(row, cells, (cell) => cell.key, (cell) => {
        if (cell.key !== "group") return make("td", "number");
        const heading = make("th");
        heading.scope = "row";
        return heading;
      }, (element, cell) => set(element, cell.text));
    });
  }

  function options(select, items, chosen) {
    children(select, items, (item) => item.value, (item) => {
      const option = make("option");
      option.value = item.value;
      return option;
    }, (option, item) => set(option, item.text));
    if (document.activeElement !== select && chosen !== undefined) select.value = chosen;
  }

  function showFilters(snapshot, analytics) {
    const several = snapshot.analytics.length > 1;
    const many = analytics.groups_total > FEW || Boolean(asked.get("search"));
    const keys = analytics.keys.map((key) => ({ value: key.key, text: key.title }));
    byId("filters").hidden = !several && !many && keys.length === 1;
    byId("analytics-field").hidden = !several;
    byId("key-field").hidden = keys.length === 1;
    for (const field of document.querySelectorAll("#filters .many")) field.hidden = !many;
    options(byId("analytics"), snapshot.analytics.map((each) => ({ value: each.name, text: each.name })), analytics.name);
    options(byId("key"), keys, chosenKey(analytics).key);
    const { groups, groups_found: found, groups_watched: watched, groups_total: total } = analytics;
    const parts = [];
    if (groups.length < found) parts.push(`showing ${words.grouped(groups.length)} of ${words.grouped(found)}`);
    else if (found < watched) parts.push(`${words.grouped(found)} of ${words.grouped(watched)} match`);
    if (watched < total) parts.push(`${words.grouped(watched)} of ${words.grouped(total)} watched`);
    set(byId("cut"), parts.join(" · "));
  }

  function showResults(snapshot) {
    const analytics = chosenAnalytics(snapshot);
    if (analytics === undefined) {
      set(byId("results-sub"), "The scenario has no analytics.");
      return;
    }
    const groups = analytics.groups.map((group) => withHistory(analytics, group));
    const drawn = groups.length > chart.LINES ? `; lines of the first ${chart.LINES}` : "";
    const what = analytics.keys.length === 1 ? `${analytics.keys[0].title}, ` : "";
    set(byId("results-title"), analytics.title);
    set(byId("results-sub"), `${what}${analytics.every}${drawn}`);
    set(byId("results-caption"), `${capitalised(analytics.results_word)} by ${analytics.group}; the newest window first`);
    byId("cards").setAttribute("aria-label", words.shown(`Newest ${analytics.result} of each ${analytics.group}`));
    showFilters(snapshot, analytics);
    children(byId("cards"), groups, (group) => group.name, newCard, (card, group, index) => showCard(card, group, index, analytics));
    if (!byId("table-view").hidden) showTable(analytics, groups);
    chart.show(analytics, groups, asked.get("search") ?? "");
  }

  // --- devices and job ----------------------------------------------------------------------------------------------

  function newRow() {
    const row = make("tr");
    const name = make("th");
    name.scope = "row";
    name.append(make("span", "name"), make("small", "where"));
    const trend = make("td", "wide trend");
    trend.append(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
    row.append(name, make("td", "wide attributes"), trend, make("td", "number strong"), make("td", "number"), make("td", "number"));
    return row;
  }

  function deviceKey(snapshot) {
    return snapshot.telemetry.find((key) => key.key === byId("device-key").value) ?? snapshot.telemetry[0];
  }

  function showRow(row, device, key, attributes) {
    const value = device.values[key.key] ?? null;
    mark(row, "device", device.name);
    mark(row, "ts", device.ts);
    mark(row, "value", value);
    mark(row, "reporting", Boolean(device.rate));
    const [name, where, trend, last, measured, rate] = row.cells;
    const place = attributes.map((attribute) => device.attributes[attribute.key] ?? "–").join(" / ");
    set(name.firstChild, device.name);
    set(name.lastChild, device.ts === null ? (device.unknown ?? "") : place.replace(/^–$/, ""));
    set(where, device.ts === null ? (device.unknown ?? "–") : place || "–");
    set(last, words.reading(value));
    set(measured, words.age(device.age_seconds));
    set(rate, words.rate(device.rate));
    const series = JSON.stringify([device.name, key.key]);
    const seen = trends.get(series) ?? { ts: null, values: [] };
    if (typeof value === "number" && seen.ts !== device.ts) {
      seen.ts = device.ts;
      seen.values = [...seen.values, value].slice(-TREND);
      trends.set(series, seen);
    }
    chart.spark(trend.firstChild, seen.values);
  }

  function showDevices(snapshot) {
    const several = snapshot.telemetry.length > 1;
    byId("device-key-field").hidden = !several;
    options(byId("device-key"), snapshot.telemetry.map((key) => ({ value: key.key, text: key.title })));
    const key = deviceKey(snapshot);
    set(byId("device-value"), key.unit ? `Last (${key.unit})` : "Last");
    byId("devices").classList.toggle("bare", snapshot.attributes.length === 0);
    set(byId("device-attributes"), capitalised(snapshot.attributes.map((attribute) => attribute.title).join(" / ")) || "–");
    children(byId("devices").tBodies[0], snapshot.devices, (device) => device.name, newRow, (row, device) => showRow(row, device, key, snapshot.attributes));
    for (const place of trends.keys()) {
      if (trends.size > 500 && !snapshot.devices.some((device) => device.name === JSON.parse(place)[0])) trends.delete(place);
    }
    const { reporting, is_estimate: isEstimate, rate } = snapshot.platform;
    const about = isEstimate ? "about " : "";
    set(byId("devices-sub"), reporting === null ? "" : `${about}${words.grouped(reporting)} of ${words.grouped(snapshot.devices_total)} report, ${about}${words.rate(rate)}`);
  }

  function showJob({ job, words: called }) {
    set(byId("posted"), `${capitalised(called.results)} posted`);
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
    const reasons = Object.entries(job.rejects_by_reason).slice(0, 3).map(([reason, count]) => `${words.grouped(count)} × ${reason}`);
    const failures = job.last_function_failure === null ? [] : [`${words.grouped(job.function_failures)} windows without results: ${job.last_function_failure}`];
    list(byId("rejects"), [...reasons, ...failures]);
  }

  // --- what a screen reader reads -------------------------------------------------------------------------------------

  function firstValues(snapshot, count) {
    const analytics = chosenAnalytics(snapshot);
    const known = (analytics?.groups ?? []).slice(0, count).filter((group) => group.values[analytics.keys[0].key] !== undefined);
    return known.map((group) => `${group.name} ${words.result(valuesOf(withHistory(analytics, group), analytics.keys[0].key))}`);
  }

  function speak(snapshot) {
    const now = performance.now();
    // Alarms have a panel of their own, which is read as they come and go.
    if (now - spokenAt < SPOKEN_EVERY_MS && snapshot.verdict === spokenVerdict) return;
    spokenAt = now;
    spokenVerdict = snapshot.verdict;
    const stops = snapshot.hops.filter((hop) => hop.state !== "flowing").map((hop) => `${hop.title} ${SPOKEN_STATES[hop.state]}.`);
    set(byId("summary"), [snapshot.verdict, ...stops, firstValues(snapshot, 4).join(", ")].filter(Boolean).join(" "));
  }

  function show(snapshot) {
    receivedAt = performance.now();
    showHops(snapshot);
    showAlarms(snapshot);
    newest = snapshot;
    showResults(snapshot);
    showDevices(snapshot);
    showJob(snapshot);
    list(byId("notes"), snapshot.notes);
    set(byId("clock"), `Last update at ${words.clock(snapshot.ts)}.`);
    speak(snapshot);
    const shown = firstValues(snapshot, 3);
    const alarms = snapshot.alarms.length ? `(${words.grouped(snapshot.alarms_total ?? snapshot.alarms.length)}) ` : "";
    document.title = words.shown(`${alarms}${shown.length ? `${shown.join(" · ")} – watch` : "pacifictool watch"}`);
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

  // The choice of groups, for the server and for the address of the page.
  const query = () => (asked.size ? `?${asked}` : "");

  async function poll() {
    try {
      const response = await fetch(`/watch/snapshot${query()}`, { cache: "no-store" });
      if (!response.ok) throw new Error(String(response.status));
      show(await response.json());
      connected("live", "Live");
    } catch {
      connected("lost", "No response, trying again");
    }
    setTimeout(poll, 1000);
  }

  function listen() {
    events?.close();
    const stream = new EventSource(`/watch/events${query()}`);
    events = stream;
    stream.addEventListener("message", (event) => {
      show(JSON.parse(event.data));
      connected("live", "Live");
    });
    stream.addEventListener("error", () => {
      connected("lost", "No response, trying again");
      // The browser reconnects by itself, except after an error status.
      if (stream.readyState === EventSource.CLOSED) {
        setTimeout(() => {
          if (events === stream) listen();
        }, 2000);
      }
    });
    // Some proxies buffer a stream until it ends, which this one never does.
    setTimeout(() => {
      if (receivedAt === 0 && events === stream && stream.readyState === EventSource.OPEN) {
        stream.close();
        events = null;
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
    if (newest !== null) showResults(newest);
    if (!asTable) chart.draw();
  }

  byId("as-chart").addEventListener("click", () => choose(false));
  byId("as-table").addEventListener("click", () => choose(true));

  // Other groups come with a new stream: the server searches, sorts and cuts.
  function ask(name, value, fallback) {
    if (value === fallback) asked.delete(name);
    else asked.set(name, value);
    history.replaceState(null, "", query() || location.pathname);
    if (newest !== null) showResults(newest);
    clearTimeout(changing);
    changing = setTimeout(() => {
      if (events !== null) listen();
    }, CHANGE_AFTER_MS);
  }

  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("search").addEventListener("input", (event) => ask("search", event.target.value, ""));
  for (const [name, fallback] of [["analytics", null], ["sort", "scenario"], ["key", null], ["limit", "50"]]) {
    byId(name).addEventListener("change", (event) => ask(name, event.target.value, fallback));
  }
  byId("device-key").addEventListener("change", () => newest !== null && showDevices(newest));
  for (const name of ["search", "sort", "limit"]) {
    if (asked.has(name)) byId(name).value = asked.get(name);
  }

  schemeChanged();
  listen();
})();
