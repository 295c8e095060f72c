// Before the first paint: the colours that the visitor chose here, if any; else those of the system.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("pacifictool-scheme");
  } catch {
    // Storage may be switched off; then the choice lasts as long as the page.
  }
  if (chosen === "dark" || chosen === "light") {
    document.documentElement.dataset.scheme = chosen;
  }
})();
