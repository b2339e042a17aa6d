/* The pages of a visit: what is open is followed until its end, amounts are reckoned before the click, and nothing is sent
   twice. Everything here also works without this file, by reloading. */
"use strict";

(() => {
    const altegio = (window.altegioLoyalty = {});

    /** Ask this site. Resolves to the answer; rejects with `signedOut` where the login page would come instead. */
    altegio.ask = async (url, { body = null, accept = "application/json" } = {}) => {
        const response = await fetch(url, {
            method: body ? "POST" : "GET",
            body,
            headers: { Accept: accept },
            credentials: "same-origin",
            cache: "no-store",
            redirect: "manual",
        });
        if (!response.ok) {
            const error = new Error(`HTTP ${response.status}`);
            error.signedOut = response.type === "opaqueredirect" || response.status === 403;
            error.isGone = response.status === 404;
            throw error;
        }
        return accept === "application/json" ? response.json() : response.text();
    };

    /** A form with the page's CSRF token and nothing else. */
    altegio.emptyForm = (page) => {
        const form = new FormData();
        form.append("csrfmiddlewaretoken", page.querySelector("[name=csrfmiddlewaretoken]").value);
        return form;
    };

    altegio.pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

    const shown = new WeakMap();

    /** Put HTML of this site into an element, only where it changed, so that nothing is read out twice. */
    altegio.put = (element, html) => {
        if (html === undefined || shown.get(element) === html) {
            return;
        }
        shown.set(element, html);
        const had = element.contains(document.activeElement);
        const fresh = new DOMParser().parseFromString(html, "text/html").body;
        element.replaceChildren(...fresh.childNodes);
        if (had) {
            const heir = element.querySelector("button, a") || document.querySelector("#content h1, h1");
            if (heir.tagName === "H1") {
                heir.tabIndex = -1;
            }
            heir.focus();
        }
    };

    altegio.tellTrouble = (page, error) => {
        altegio.tell(page, error ? (error.signedOut || error.isGone ? page.dataset.signedOut : page.dataset.lost) : "");
    };

    altegio.tell = (page, text) => {
        const place = page.querySelector("#altegio-trouble");
        if (place.textContent !== text) {
            place.textContent = text;
        }
        place.hidden = !text;
    };

    /* Countdowns */

    const asClock = (seconds) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;

    const countDown = () => {
        for (const clock of document.querySelectorAll("[data-altegio-seconds]")) {
            if (!clock.endsAt) {
                clock.endsAt = performance.now() + Number(clock.dataset.altegioSeconds) * 1000;
            }
            clock.textContent = asClock(Math.max(0, Math.ceil((clock.endsAt - performance.now()) / 1000)));
        }
    };

    /* A visit whose operations are not finished */

    const follow = (page) => {
        const verdicts = page.querySelector("#altegio-verdicts");
        const waiting = page.querySelector("#altegio-waiting");
        const history = page.querySelector("#altegio-history");
        let version = page.dataset.version;
        let open = page.dataset.open ? page.dataset.open.split(",").map(Number) : [];
        let failures = 0;
        let dueFor = 0;
        let isStale = false;
        let notStopped = "";
        let wake = () => {};

        const rest = (milliseconds) =>
            new Promise((resolve) => {
                wake = resolve;
                setTimeout(resolve, milliseconds);
            });

        const show = async (state) => {
            version = state.version;
            altegio.put(verdicts, state.verdicts);
            altegio.put(waiting, state.waiting);
            altegio.put(history, state.history);
            isStale = isStale || open.some((operation) => !state.open.includes(operation));
            open = state.open;
            if (isStale) {
                await refresh();
                isStale = false;
            }
        };

        /** The bill and the cards anew, now that something has come of it. */
        const refresh = async () => {
            const live = page.querySelector("#altegio-live");
            live.setAttribute("aria-busy", "true");
            try {
                const html = await altegio.ask(window.location.href, { accept: "text/html" });
                const fresh = new DOMParser().parseFromString(html, "text/html").querySelector("#altegio-live");
                if (fresh) {
                    altegio.put(live, fresh.innerHTML);
                }
            } finally {
                live.removeAttribute("aria-busy");
            }
        };

        /** A worker goes first. Where none has come after a moment, this page does the step itself. */
        const look = async () => {
            const isOurs = dueFor >= 2;
            const url = isOurs ? page.dataset.step : page.dataset.state;
            const body = isOurs ? altegio.emptyForm(page) : null;
            const state = await altegio.ask(`${url}?seen=${encodeURIComponent(version)}`, { body });
            dueFor = state.is_due && !isOurs ? dueFor + 1 : 0;
            await show(state);
        };

        const run = async () => {
            while (open.length || isStale) {
                try {
                    await look();
                    failures = 0;
                    altegio.tell(page, notStopped);
                } catch (error) {
                    failures += 1;
                    altegio.tellTrouble(page, error);
                    if (error.signedOut || error.isGone) {
                        return;
                    }
                }
                const calm = document.hidden ? 15000 : 1500;
                await rest(Math.min(calm * 2 ** Math.min(failures, 4), 30000));
            }
        };

        waiting.addEventListener("submit", async (event) => {
            const form = event.target.closest("[data-altegio-stop]");
            if (!form) {
                return;
            }
            event.preventDefault();
            form.querySelector("button").disabled = true;
            try {
                const state = await altegio.ask(form.action, { body: new FormData(form) });
                notStopped = state.problem;
                altegio.tell(page, notStopped);
                await show(state);
                form.querySelector("button").disabled = false;
            } catch (error) {
                form.querySelector("button").disabled = false;
                altegio.tellTrouble(page, error);
            }
        });
        document.addEventListener("visibilitychange", () => document.hidden || wake());
        window.addEventListener("pageshow", (event) => event.persisted && window.location.reload());
        run();
    };

    /* An amount, and what it leaves */

    const asCents = (text) => {
        const match = /^(\d{1,10})(?:[.,](\d{1,2}))?$/.exec(text.trim());
        return match ? Number(match[1]) * 100 + Number((match[2] || "").padEnd(2, "0")) : null;
    };

    const asPoints = (cents) => {
        const digits = cents % 100 ? 2 : 0;
        const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false };
        return (cents / 100).toLocaleString(document.documentElement.lang || undefined, options);
    };

    const fill = (text, figures) => text.replace(/\{(\w+)\}/g, (_all, name) => figures[name]);

    const reckon = (form) => {
        const typed = form.querySelector("input[type=number]");
        const other = form.querySelector("#altegio-other");
        const button = form.querySelector("[data-altegio-submit]");
        const after = form.querySelector("#altegio-after");
        if (!typed || !other || !button) {
            return;
        }
        const { balance, left, most } = form.dataset;

        const show = () => {
            const chosen = form.querySelector("input[type=radio]:checked");
            const cents = asCents(other.checked ? typed.value : chosen.value);
            typed.required = other.checked;
            button.textContent = cents ? fill(form.dataset.button, { amount: asPoints(cents) }) : button.dataset.plain;
            if (!other.checked || !cents) {
                after.textContent = "";
            } else if (cents > asCents(most)) {
                after.textContent = `⚠ ${fill(form.dataset.tooMuch, { most: asPoints(asCents(most)) })}`;
            } else {
                const figures = { card: asPoints(asCents(balance) - cents), left: left && asPoints(asCents(left) - cents) };
                after.textContent = fill(form.dataset.after, figures);
            }
        };

        button.dataset.plain = button.textContent;
        typed.addEventListener("input", () => {
            other.checked = true;
            show();
        });
        form.addEventListener("change", (event) => {
            if (event.target.type === "radio" && event.target !== other) {
                typed.value = "";
            } else if (event.target === other) {
                typed.focus();
            }
            show();
        });
        show();
    };

    /* A form that is sent once */

    const sendOnce = (form) => {
        const button = form.querySelector("[data-altegio-submit]");
        form.addEventListener("submit", (event) => {
            if (form.dataset.isSent) {
                event.preventDefault();
                return;
            }
            form.dataset.isSent = "yes";
            form.setAttribute("aria-busy", "true");
            if (button) {
                button.dataset.said = button.textContent;
                button.setAttribute("aria-disabled", "true");
                button.textContent = form.dataset.altegioOnce;
            }
        });
        window.addEventListener("pageshow", (event) => {
            if (event.persisted && form.dataset.isSent) {
                delete form.dataset.isSent;
                form.removeAttribute("aria-busy");
                if (button) {
                    button.removeAttribute("aria-disabled");
                    button.textContent = button.dataset.said;
                }
            }
        });
    };

    document.querySelectorAll("[data-altegio-once]").forEach(sendOnce);
    document.querySelectorAll("[data-altegio-amounts]").forEach(reckon);
    document.querySelectorAll("[data-altegio-follow]").forEach(follow);
    countDown();
    setInterval(countDown, 500);
})();
