/* The pages of one visit: they come up with what is known, and read what must be read; what is open is followed until its
   end, and amounts are reckoned before the click. */
"use strict";

(() => {
    const { asCents, ask, askForPart, csrfForm, fill, focusMain, keepOn, put, say, sendOnce, tell, tellTrouble } = window.altegioLoyalty;

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

    /* What is read from Altegio, once the page is there */

    const live = document.getElementById("altegio-live");
    const status = document.getElementById("altegio-reading");
    const FIGURES = "td, .altegio-list li, .altegio-lead > span:first-of-type, legend";

    const textOf = (element) => element.textContent.trim().replace(/\s+/g, " ");

    /** What is other than it was, where something was shown before; returns whether anything is. */
    const markChanges = (before) => {
        const changed = [...live.querySelectorAll(FIGURES)].filter((element) => !before.has(textOf(element)));
        if (before.size) {
            changed.forEach((element) => element.classList.add("altegio-changed"));
        }
        return Boolean(before.size && changed.length);
    };

    /** What is chosen or typed, by the field's name. */
    const chosenIn = (form) => (form ? new FormData(form) : new FormData());

    /** What was chosen stays chosen, or nothing is: an amount that is not suggested any more is typed, and none of them goes
        over to another card. */
    const choose = (form, chosen) => {
        const other = form?.querySelector("#altegio-other");
        const card = form?.querySelector("input[type=hidden][name$=-choice]");
        const isSame = !card || chosen.get(card.name) === card.value;
        for (const field of form?.elements ?? []) {
            const value = isSame ? chosen.get(field.name) : null;
            if (field.type === "radio") {
                field.checked = field.value === value && !field.disabled;
            } else if (field.type === "text" && value) {
                field.value = value;
            }
        }
        if (other && !form.querySelector("input[type=radio]:checked")) {
            other.checked = true;
            const cents = isSame && asCents(chosen.get(other.name) ?? "");
            form.querySelector("input[type=text]").value = cents ? asPoints(cents) : "";
        }
    };

    /** What finds the same element again in what is put in its place. */
    const selectorOf = (element) => {
        if (element.type === "radio") {
            return `[name="${element.name}"][value="${element.value}"]`;
        }
        const href = element.getAttribute("href");
        return href ? `a[href="${CSS.escape(href)}"]` : element.id && `#${CSS.escape(element.id)}`;
    };

    /** The bill and the cards anew: at most one reading at a time. What the person chose meanwhile stays chosen. */
    let reading = null;
    const read = () => {
        reading ??= readNow().finally(() => {
            reading = null;
            live.removeAttribute("aria-busy");
        });
        return reading;
    };

    const readNow = async () => {
        live.setAttribute("aria-busy", "true");
        say(status, status.dataset.reading);
        const url = new URL(window.location.href);
        url.searchParams.set("read", "1");
        try {
            const fresh = await askForPart(url.href, "#altegio-live");
            const form = live.querySelector("form");
            if (form?.dataset.isSent) {
                return; // what was sent was chosen by what the page showed
            }
            const before = new Set([...live.querySelectorAll(FIGURES)].map(textOf));
            const wasTouched = form?.dataset.isTouched;
            const chosen = chosenIn(form);
            const focused = live.contains(document.activeElement) ? selectorOf(document.activeElement) : "";
            if (focused) {
                document.activeElement.blur();
            }
            put(live, fresh.innerHTML);
            if (fresh.ownerDocument.querySelector(".altegio-advanced[open]")) {
                document.querySelector(".altegio-advanced").open = true; // it says now that the numbers have to be typed
            }
            if (wasTouched) {
                choose(live.querySelector("form"), chosen);
            }
            bind(live, wasTouched);
            if (focused) {
                live.querySelector(focused)?.focus({ preventScroll: true });
            }
            focusMain();
            say(status, markChanges(before) ? status.dataset.changed : "");
        } catch (error) {
            say(status, "");
            throw error;
        }
    };

    const bind = (root, wasTouched = "") => {
        for (const form of root.querySelectorAll("[data-altegio-once]")) {
            form.dataset.isTouched = wasTouched;
            form.addEventListener("input", () => {
                form.dataset.isTouched = "yes";
            });
            form.addEventListener("submit", () => followSending(form));
            if (root === live) {
                sendOnce(form);
            }
        }
        root.querySelectorAll("[data-altegio-amounts]").forEach(reckon);
    };

    /* What was sent and takes its time: what the log says of it, while the answer is on its way */

    const followSending = async (form) => {
        const verdicts = document.getElementById("altegio-verdicts");
        if (form.dataset.isFollowed || !form.dataset.state) {
            return;
        }
        form.dataset.isFollowed = "yes";
        while (form.dataset.isSent) {
            await new Promise((resolve) => {
                setTimeout(resolve, 1500);
            });
            const state = form.dataset.isSent && (await ask(form.dataset.state).catch(() => null));
            put(verdicts, state && state.open.length ? state.verdicts : "");
        }
        delete form.dataset.isFollowed;
    };

    let lookAgain = () => read().catch((error) => tellTrouble(document.getElementById("content-main"), error));

    /* A visit whose operations are not finished */

    const follow = (page) => {
        const verdicts = page.querySelector("#altegio-verdicts");
        const waiting = page.querySelector("#altegio-waiting");
        const history = page.querySelector("#altegio-history");
        let version = page.dataset.version;
        let open = page.dataset.open ? page.dataset.open.split(",").map(Number) : [];
        let dueFor = 0;
        let isStale = live.hasAttribute("data-altegio-read");
        let notStopped = "";
        let failures = 0;
        let readsAgainAt = 0;
        let isFollowing = false;
        let isAsked = false;

        /** Not awaited: what is open is followed meanwhile, however slow Altegio is. A reading that fails is told until one
            works, and tried ever more rarely. */
        const readAnew = () => {
            isStale = false;
            read().then(
                () => {
                    failures = 0;
                    tell(page, notStopped);
                    isAsked = true; // what is left to pay and on the card is known only now
                    goOn();
                },
                (error) => {
                    isStale = true;
                    failures += 1;
                    readsAgainAt = performance.now() + Math.min(1500 * 2 ** failures, 60000);
                    tellTrouble(page, error);
                },
            );
        };

        const show = (state) => {
            version = state.version;
            put(verdicts, state.verdicts);
            put(waiting, state.waiting);
            put(history, state.history);
            isStale = isStale || open.some((operation) => !state.open.includes(operation));
            open = state.open;
            if (isStale && performance.now() >= readsAgainAt) {
                readAnew();
            }
        };

        /** A worker goes first. Where none has come after a moment, this page does the step itself. */
        const look = async () => {
            if (!open.length && !isStale && !reading && !isAsked) {
                return null;
            }
            const isOurs = dueFor >= 2;
            const url = isOurs ? page.dataset.step : page.dataset.state;
            const body = isOurs ? csrfForm(page) : null;
            const state = await ask(`${url}?seen=${encodeURIComponent(version)}`, { body });
            dueFor = state.is_due && !isOurs ? dueFor + 1 : 0;
            isAsked = false;
            show(state);
            if (!failures) {
                tell(page, notStopped);
            }
            return document.hidden ? 15000 : 1500;
        };

        const stop = async (form) => {
            const button = form.querySelector("button");
            button.disabled = true;
            try {
                const state = await ask(form.action, { body: new FormData(form) });
                notStopped = state.problem;
                tell(page, notStopped);
                show(state);
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
        const goOn = async () => {
            if (!isFollowing) {
                isFollowing = true;
                await keepOn(page, look);
                isFollowing = false;
            }
        };

        lookAgain = () => {
            isAsked = true;
            readAnew();
            goOn(); // what a colleague has asked for meanwhile
        };
        goOn();
    };

    /* An amount, and what it leaves */

    const asPoints = (cents) => {
        const digits = cents % 100 ? 2 : 0;
        const options = { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false };
        return (cents / 100).toLocaleString(document.documentElement.lang || undefined, options);
    };

    const reckon = (form) => {
        const typed = form.querySelector("input[type=text]");
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

    bind(document);
    document.addEventListener("click", (event) => {
        if (event.target.closest("[data-altegio-again]") && live) {
            event.preventDefault();
            lookAgain();
        }
    });
    document.querySelectorAll("[data-altegio-follow]").forEach(follow);
    if (live?.hasAttribute("data-altegio-read") && !document.querySelector("[data-altegio-follow]")) {
        lookAgain();
    }
    countDown();
    setInterval(countDown, 500);
})();
