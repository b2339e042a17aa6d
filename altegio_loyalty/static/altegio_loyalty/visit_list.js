/* Reads the day's visits from Altegio a page at a time, with progress, and shows what is new. Without this script the same
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

        /** Nearer to the end of a location with each of its pages, whose number nobody knows beforehand. */
        const advance = (place, pages) => {
            progress.value = (place + (pages ? 1 - 1 / (pages + 1) : 0)) / locations.length;
        };

        const readLocation = async (place) => {
            let result = { state: "" };
            let pages = 0;
            do {
                const fields = { day, location: locations[place], state: result.state };
                result = await ask(form.dataset.stepUrl, { body: csrfForm(form, fields) });
                pages += 1;
                status.textContent = result.text;
                advance(place, pages);
            } while (result.state);
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
            progress.value = 0;
            progress.hidden = false;
            remember();
        };

        const finish = (changed, done, failed) => {
            progress.hidden = true;
            button.disabled = false;
            form.removeAttribute("aria-busy");
            isReading = false;
            status.textContent = failed ? before : done || before;
            if (!changed) {
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
                    advance(place + 1, 0);
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

    document.querySelectorAll("form.altegio-refresh").forEach(dayOfVisits);
})();
