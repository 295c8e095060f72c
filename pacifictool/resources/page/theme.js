// Runs before the first paint: applies the colours that the visitor chose, or those of the system.
"use strict";
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("pacifictool-scheme");
  } catch {
    // Without storage, the choice lasts as long as the page.
  }
  if (chosen === "dark" || chosen === "light") {
    document.documentElement.dataset.scheme = chosen;
  }
})();
