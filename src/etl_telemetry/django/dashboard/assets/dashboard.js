// Keep the page true while somebody looks at it: fetch it again, put in what has changed.
"use strict";
(() => {
  const every = Number(document.body.dataset.refresh);
  const pause = document.getElementById("pause");
  const trouble = document.getElementById("trouble");
  if (!every || !pause) return;
  let timer = null;
  let paused = false;
  let busy = false;

  const say = (text) => { if (trouble.textContent !== text) trouble.textContent = text; };

  // What somebody has opened stays open, and what has the focus keeps it.
  const replace = (old, fresh) => {
    if (old.innerHTML === fresh.innerHTML) return;
    for (const shown of old.querySelectorAll("details[open][id]")) {
      fresh.querySelector(`#${CSS.escape(shown.id)}`)?.setAttribute("open", "");
    }
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    const places = active ? [...old.querySelectorAll(active.tagName)].indexOf(active) : -1;
    const scrolled = [...old.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    old.replaceChildren(...fresh.childNodes);
    old.querySelectorAll(".scroll").forEach((box, place) => { box.scrollLeft = scrolled[place] ?? 0; });
    if (active) old.querySelectorAll(active.tagName)[places]?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (busy || paused || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
      if (answer.redirected) {
        stop();
        say("You are signed out. Load the page again to sign in.");
        return;
      }
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of document.querySelectorAll("[data-live]")) {
        const found = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
        if (found) replace(old, found);
      }
      say("");
    } catch {
      say("Not updated: the server does not answer. Trying again.");
    } finally {
      busy = false;
    }
  };

  const stop = () => { clearInterval(timer); timer = null; };
  const start = () => { if (!timer && !paused && !document.hidden) timer = setInterval(refresh, every); };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) stop(); else { refresh(); start(); }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop(); else { refresh(); start(); }
  });
  start();
})();
