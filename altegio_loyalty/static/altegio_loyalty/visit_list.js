/* Reads the day's visits from Altegio a location at a time, with progress, and shows what is new. Without this script the same
   button does it in one request. */
"use strict";

(() => {
    const { ask, csrfForm } = window.altegioLoyalty;

    const dayOfVisits = (form) => {
        const button = form.querySelector("button[type=submit]");
        const status = form.querySelector(".altegio-read");
        const progress = form.querySelector("progress");
        const failures = document.querySelector(".altegio-failures");
        const locations = [...form.querySelectorAll("input[name=location]")].map((input) => input.value);
        const day = form.elements.namedItem("day").value;
        const key = `altegio_loyalty.read.${day}.${locations.join(",")}`;
        const before = status.textContent;
        let isReading = false;

        const fail = (text) => {
            const line = document.createElement("p");
            line.textContent = text;
            failures.append(line);
            failures.hidden = false;
        };

        const readLocation = async (place) => {
            const fields = { day, location: locations[place] };
            const result = await ask(form.action, { body: csrfForm(form, fields) });
            status.textContent = result.text ?? "";
            progress.value = (place + 1) / locations.length;
            if (result.error) {
                fail(result.error);
            }
            return result;
        };

        const hasBegunSomething = () => {
            const search = document.getElementById("searchbar");
            return Boolean(
                document.querySelector("#result_list input.action-select:checked") ||
                    (search && search.value !== search.defaultValue) ||
                    document.activeElement?.id === "altegio-date"
            );
        };

        const offerToShow = () => {
            const link = document.createElement("a");
            link.href = window.location.href;
            link.textContent = form.dataset.show;
            status.append(" ", link);
        };

        const begin = () => {
            isReading = true;
            button.disabled = true;
            form.setAttribute("aria-busy", "true");
            failures.replaceChildren();
            failures.hidden = true;
            status.textContent = form.dataset.reading;
            progress.removeAttribute("value");
            progress.hidden = false;
            remember();
        };

        const finish = (changed, done, failed) => {
            progress.hidden = true;
            button.disabled = false;
            form.removeAttribute("aria-busy");
            isReading = false;
            status.textContent = failed ? before : done || before;
            if (!changed && (failed || !document.querySelector(".altegio-empty"))) {
                return;
            }
            // A failure stays readable, and nothing that the person has begun is taken away.
            if (failed || hasBegunSomething()) {
                offerToShow();
            } else {
                window.location.reload();
            }
        };

        const readAll = async () => {
            if (isReading) {
                return;
            }
            begin();
            let changed = 0;
            let done = "";
            let failed = false;
            try {
                for (let place = 0; place < locations.length; place += 1) {
                    const result = await readLocation(place);
                    changed += result.changed;
                    failed = failed || Boolean(result.error);
                    done = result.done;
                    if (result.stop) {
                        break;
                    }
                }
            } catch (error) {
                fail(error.signedOut ? form.dataset.signedOut : form.dataset.failed);
                failed = true;
            }
            finish(changed, done, failed);
        };

        /** So that a failing Altegio is not asked again by every page that is opened. */
        const remember = () => {
            try {
                window.sessionStorage.setItem(key, String(Date.now()));
            } catch {
                // Without storage it is only asked more often.
            }
        };

        const wasTriedJustNow = () => {
            try {
                const age = Date.now() - Number(window.sessionStorage.getItem(key) || 0);
                return age >= 0 && age < Number(form.dataset.freshSeconds) * 1000;
            } catch {
                return false;
            }
        };

        form.addEventListener("submit", (event) => {
            event.preventDefault();
            readAll();
        });
        if ("readsByItself" in form.dataset && !wasTriedJustNow()) {
            readAll();
        }
    };

    /* A reload, or the way back, does not search again */

    const url = new URL(window.location.href);
    const wasEntered = url.searchParams.has("enter");
    if (wasEntered) {
        url.searchParams.delete("enter");
        window.history.replaceState(window.history.state, "", url);
    }

    /* The location that was chosen last is chosen again, and the way back to the list leads to it as it was */

    const PLACE = "altegio_loyalty.location";
    const chosen = url.searchParams.get("location");
    const offers = (id) => document.querySelector(`#changelist-filter a[href*="location=${CSS.escape(id)}"]`);
    const hadOne = new RegExp(`^${url.origin}${url.pathname}\\?.*location=[0-9]`).test(document.referrer);
    try {
        const last = window.localStorage.getItem(PLACE);
        if (chosen || hadOne) {
            window.localStorage.setItem(PLACE, chosen || ""); // from one to all of them, where none is chosen
        } else if (last && !url.search && offers(last)) {
            url.searchParams.set("location", last);
            window.location.replace(url);
        }
        window.sessionStorage.setItem("altegio_loyalty.list", url.search);
    } catch {
        // Without storage nothing is remembered.
    }

    /* The search has the focus, where that brings up no keyboard of the screen, and goes on in Altegio once */

    const search = document.getElementById("searchbar");
    if (search && document.activeElement === document.body && window.matchMedia("(hover: hover)").matches) {
        search.focus();
        search.select();
    }
    const find = document.querySelector("form.altegio-find[data-finds-by-itself]");
    if (find && wasEntered) {
        find.requestSubmit();
        return; // one thing at a time: it reads today as well
    }

    document.querySelectorAll("form.altegio-refresh").forEach(dayOfVisits);
})();
