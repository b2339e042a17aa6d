// Reads the day's visits from Altegio a page at a time, with progress, and shows what is new. Without this script the same
// button does it in one request.
(function () {
  "use strict";

  const form = document.querySelector("form.altegio-refresh");
  if (!form) {
    return;
  }
  const button = form.querySelector("button[type=submit]");
  const status = form.querySelector(".altegio-read");
  const progress = form.querySelector("progress");
  const failures = document.querySelector(".altegio-failures");
  const locations = Array.from(form.querySelectorAll("input[name=location]"), (input) => input.value);
  const day = form.elements.namedItem("day").value;
  const key = "altegio_loyalty.read." + day + "." + locations.join(",");
  const before = status.textContent;
  let isReading = false;

  async function step(location, state) {
    const body = new URLSearchParams({
      csrfmiddlewaretoken: form.elements.namedItem("csrfmiddlewaretoken").value,
      day: day,
      location: location,
      state: state,
    });
    const answer = await fetch(form.dataset.stepUrl, {
      method: "POST",
      body: body,
      credentials: "same-origin",
      redirect: "manual",
      headers: { Accept: "application/json" },
    });
    if (!answer.ok) {
      const error = new Error("HTTP " + answer.status);
      // The login page would come instead, or the sign-in of another tab has replaced this page's token.
      error.signedOut = answer.type === "opaqueredirect" || answer.status === 403;
      throw error;
    }
    return answer.json();
  }

  function fail(text) {
    const line = document.createElement("p");
    line.textContent = text;
    failures.append(line);
    failures.hidden = false;
  }

  // Nearer to the end of a location with each of its pages, whose number nobody knows beforehand.
  function advance(place, pages) {
    progress.value = (place + (pages ? 1 - 1 / (pages + 1) : 0)) / locations.length;
  }

  async function readLocation(place) {
    let state = "";
    let pages = 0;
    let result;
    do {
      result = await step(locations[place], state);
      state = result.state;
      pages += 1;
      status.textContent = result.text;
      advance(place, pages);
    } while (state);
    if (result.error) {
      fail(result.error);
    }
    return result;
  }

  function hasBegunSomething() {
    const search = document.getElementById("searchbar");
    return Boolean(
      document.querySelector("#result_list input.action-select:checked") ||
        (search && search.value !== search.defaultValue) ||
        (document.activeElement && document.activeElement.id === "altegio-date")
    );
  }

  function offerToShow() {
    const link = document.createElement("a");
    link.href = window.location.href;
    link.textContent = form.dataset.show;
    status.append(" ", link);
  }

  function finish(changed, done, failed) {
    progress.hidden = true;
    button.disabled = false;
    form.removeAttribute("aria-busy");
    isReading = false;
    status.textContent = done || before;
    if (!changed) {
      return;
    }
    // A failure stays readable, and nothing that the person has begun is taken away.
    if (failed || hasBegunSomething()) {
      offerToShow();
    } else {
      window.location.reload();
    }
  }

  async function readAll() {
    if (isReading) {
      return;
    }
    isReading = true;
    button.disabled = true;
    form.setAttribute("aria-busy", "true");
    failures.replaceChildren();
    failures.hidden = true;
    status.textContent = form.dataset.reading;
    progress.value = 0;
    progress.hidden = false;
    remember();
    let changed = 0;
    let done = "";
    let failed = false;
    for (let place = 0; place < locations.length; place += 1) {
      try {
        const result = await readLocation(place);
        changed += result.changed;
        failed = failed || Boolean(result.error);
        done = result.done;
        if (result.stop) {
          break;
        }
      } catch (error) {
        fail(error.signedOut ? form.dataset.signedOut : form.dataset.failed);
        failed = true;
        break;
      }
      advance(place + 1, 0);
    }
    finish(changed, failed ? "" : done, failed);
  }

  // So that a failing Altegio is not asked again by every page that is opened.
  function remember() {
    try {
      window.sessionStorage.setItem(key, String(Date.now()));
    } catch (error) {
      // Without storage it is only asked more often.
    }
  }

  function wasTriedJustNow() {
    try {
      const age = Date.now() - Number(window.sessionStorage.getItem(key) || 0);
      return age >= 0 && age < Number(form.dataset.freshSeconds) * 1000;
    } catch (error) {
      return false;
    }
  }

  form.addEventListener("submit", function (event) {
    event.preventDefault();
    readAll();
  });
  if ("readsByItself" in form.dataset && !wasTriedJustNow()) {
    readAll();
  }
})();
