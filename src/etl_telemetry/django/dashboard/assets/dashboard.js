// Keep the page true while somebody looks at it: fetch it again, put in what has changed.
"use strict";
(() => {
  const every = Number(document.body.dataset.refresh);
  const pause = document.getElementById("pause");
  const trouble = document.getElementById("trouble");
  const patience = Math.max(every, 10_000);
  if (!every || !pause) return;
  let timer = null;
  let paused = false;
  let busy = false;

  const say = (text) => { if (trouble.textContent !== text) trouble.textContent = text; };

  // What an element is known by when its place has changed.
  const mark = (element) => {
    const box = element.tagName === "SUMMARY" ? element.parentElement : element;
    if (box.id) return `#${CSS.escape(box.id)}${box === element ? "" : " > summary"}`;
    for (const name of ["href", "aria-label"]) {
      const value = element.getAttribute(name);
      if (value) return `[${name}="${CSS.escape(value)}"]`;
    }
    return null;
  };

  // What somebody has opened stays open, and what has the focus keeps it.
  const replace = (old, fresh) => {
    if (old.innerHTML === fresh.innerHTML) return;
    for (const shown of old.querySelectorAll("details[open][id]")) {
      fresh.querySelector(`#${CSS.escape(shown.id)}`)?.setAttribute("open", "");
    }
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    const known = active && mark(active);
    const place = known ? [...old.querySelectorAll(known)].indexOf(active) : -1;
    const scrolled = [...old.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    old.replaceChildren(...fresh.childNodes);
    old.querySelectorAll(".scroll").forEach((box, place) => { box.scrollLeft = scrolled[place] ?? 0; });
    if (known) old.querySelectorAll(known)[place]?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (busy || paused || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(location.href, {
        credentials: "same-origin", cache: "no-store", redirect: "manual",
        signal: AbortSignal.timeout(patience),
      });
      // To the login, which may be another host's: it would not even be readable.
      if (answer.type === "opaqueredirect") {
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
