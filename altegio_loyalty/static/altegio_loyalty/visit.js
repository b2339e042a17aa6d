/* The pages of one visit: what is open is followed until its end, and amounts are reckoned before the click. */
"use strict";

(() => {
    const { ask, askForPart, csrfForm, fill, keepOn, put, tell, tellTrouble } = window.altegioLoyalty;

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
        const live = page.querySelector("#altegio-live");
        let version = page.dataset.version;
        let open = page.dataset.open ? page.dataset.open.split(",").map(Number) : [];
        let dueFor = 0;
        let isStale = false;
        let notStopped = "";

        const show = async (state) => {
            version = state.version;
            put(verdicts, state.verdicts);
            put(waiting, state.waiting);
            put(history, state.history);
            isStale = isStale || open.some((operation) => !state.open.includes(operation));
            open = state.open;
            if (isStale) {
                await refresh();
                isStale = false;
            }
        };

        /** The bill and the cards anew, now that something has come of it. */
        const refresh = async () => {
            live.setAttribute("aria-busy", "true");
            try {
                const fresh = await askForPart(window.location.href, "#altegio-live");
                put(live, fresh?.innerHTML);
            } finally {
                live.removeAttribute("aria-busy");
            }
        };

        /** A worker goes first. Where none has come after a moment, this page does the step itself. */
        const look = async () => {
            if (!open.length && !isStale) {
                return null;
            }
            const isOurs = dueFor >= 2;
            const url = isOurs ? page.dataset.step : page.dataset.state;
            const body = isOurs ? csrfForm(page) : null;
            const state = await ask(`${url}?seen=${encodeURIComponent(version)}`, { body });
            dueFor = state.is_due && !isOurs ? dueFor + 1 : 0;
            await show(state);
            tell(page, notStopped);
            return document.hidden ? 15000 : 1500;
        };

        const stop = async (form) => {
            const button = form.querySelector("button");
            button.disabled = true;
            try {
                const state = await ask(form.action, { body: new FormData(form) });
                notStopped = state.problem;
                tell(page, notStopped);
                await show(state);
            } catch (error) {
                tellTrouble(page, error);
            } finally {
                button.disabled = false;
            }
        };

        waiting.addEventListener("submit", (event) => {
            const form = event.target.closest("[data-altegio-stop]");
            if (form) {
                event.preventDefault();
                stop(form);
            }
        });
        window.addEventListener("pageshow", (event) => event.persisted && window.location.reload());
        keepOn(page, look);
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

    const reckon = (form) => {
        const typed = form.querySelector("input[type=number]");
        const other = form.querySelector("#altegio-other");
        const button = form.querySelector("[data-altegio-submit]");
        const after = form.querySelector("#altegio-after");
        if (!typed || !other || !button) {
            return;
        }
        const plain = button.textContent;
        const { balance, left, most } = form.dataset;

        const consequence = (cents) => {
            if (!other.checked || !cents) {
                return "";
            }
            if (most && cents > asCents(most)) {
                return `⚠ ${fill(form.dataset.tooMuch, { most: asPoints(asCents(most)) })}`;
            }
            const figures = { card: asPoints(asCents(balance) - cents), left: left && asPoints(asCents(left) - cents) };
            return fill(form.dataset.after, figures);
        };

        const show = () => {
            const chosen = form.querySelector("input[type=radio]:checked");
            const cents = asCents(other.checked ? typed.value : chosen.value);
            typed.required = other.checked;
            button.textContent = cents ? fill(form.dataset.button, { amount: asPoints(cents) }) : plain;
            after.textContent = consequence(cents);
        };

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

    document.querySelectorAll("[data-altegio-amounts]").forEach(reckon);
    document.querySelectorAll("[data-altegio-follow]").forEach(follow);
    countDown();
    setInterval(countDown, 500);
})();
