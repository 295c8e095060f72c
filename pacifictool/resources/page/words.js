// Numbers and times as text, as pacifictool/watch/terminal.py and pacifictool/tools/times.py write them in the terminal.
"use strict";
const words = {
  age(seconds) {
    if (seconds === null) return "–";
    if (seconds < 9.95) return `${seconds.toFixed(1)} s ago`;
    for (const [limit, size, unit] of [[90, 1, "s"], [5400, 60, "min"], [129600, 3600, "h"]]) {
      if (seconds < limit) return `${Math.round(seconds / size)} ${unit} ago`;
    }
    return `${Math.round(seconds / 86400)} days ago`;
  },

  grouped(number, digits = 0) {
    return number.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  },

  mean(value) {
    // toFixed rounds the binary number, as Python does; grouping alone would round 39.275 the other way.
    return value === null ? "–" : words.grouped(Number(value.toFixed(2)), 2);
  },

  // JSON does not distinguish 33.0 and 33, so neither does this.
  reading(value) {
    if (value === null) return "–";
    if (typeof value !== "number") return String(value);
    return Number.isInteger(value) ? words.grouped(value) : words.mean(value);
  },

  // The newest of these values: without decimals where all are whole numbers, as counts are.
  result(values) {
    if (values.length === 0) return "–";
    const newest = values[values.length - 1];
    return values.every(Number.isInteger) ? words.grouped(newest) : words.mean(newest);
  },

  count(number) {
    return number === null || number === undefined ? "–" : words.grouped(number);
  },

  rate(rate) {
    if (rate === null) return "–";
    return rate >= 100 ? `${words.grouped(rate)} /s` : `${rate.toFixed(1)} /s`;
  },

  clock(ms) {
    return new Date(ms).toLocaleTimeString("en-GB");
  },

  // The time of day, with the date unless it is today's.
  moment(ms, now) {
    const at = new Date(Math.min(ms, 253402300799000));
    const isToday = at.toDateString() === new Date(now).toDateString();
    return isToday ? words.clock(at) : `${at.toLocaleDateString("en-CA")} ${words.clock(at)}`;
  },

  // Names are data: invisible characters, and those that reorder text, are escaped as in pacifictool/display.py. Joiners
  // stay where scripts and emoji need them.
  shown(text) {
    const pattern = /(?<=(?![\0-\u05ff])[\p{L}\p{M}\p{S}])[\u200c\u200d]|([\p{C}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\u{e0100}-\u{e01ef}])/gu;
    return text.replace(pattern, (all, hidden) => (hidden === undefined ? all : words.escaped(hidden)));
  },

  escaped(char) {
    const short = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[char];
    if (short !== undefined) return short;
    const code = char.codePointAt(0);
    const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
    return `\\${letter}${code.toString(16).padStart(digits, "0")}`;
  },

  // Plotly interprets tags, entities and templates in all texts; it decodes numeric entities.
  plotly(text) {
    return words.shown(text).replace(/[&<>"'%$]/g, (char) => `&#${char.charCodeAt(0)};`);
  },
};
