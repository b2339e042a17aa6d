/* Several visits at once: rows that are read one by one while the person looks, and progress that is driven and shown. */
"use strict";

(() => {
    const { asCents, ask, askForPart, csrfForm, fill, keepOn, put, say, tell } = window.altegioLoyalty;

    /* The confirmation page */

    /** A row that can be read in so many seconds is read by itself then: more than a full minute of requests takes. */
    const LONGEST_WAIT = 65;

    const confirmation = (form) => {
        const program = form.querySelector("#altegio-program");
        const isCancel = "isCancel" in form.dataset;
        let wasTouched = false;

        /** Promotions that a row brought and the choice does not have yet. */
        const learn = (row) => {
            if (!program) {
                return;
            }
            for (const offer of row.querySelectorAll("[data-program]")) {
                const value = offer.dataset.program;
                if (value && ![...program.options].some((option) => option.value === value)) {
                    program.add(new Option(offer.dataset.name, value));
                }
            }
            if (!isCancel && !wasTouched && !program.value && program.options.length === 2) {
                program.selectedIndex = 1;
            }
        };

        /** What one row asks for by the choice above, in cents, as the server reckons it; null where it is not known. */
        const wantedBy = (row) => {
            const how = form.elements.namedItem("how").value;
            const same = asCents(form.querySelector("#altegio-same-amount").value);
            const most = asCents(row.querySelector("[name$=-choice]").value.split("|")[1]);
            if (how === "same") {
                return same ? Math.min(same, most || same) : null;
            }
            const unit = row.dataset.decimals === "0" ? 100 : 1;
            const half = most && Math.min(most, Math.max(Math.floor(most / 2 / unit) * unit, unit));
            return how === "half" ? half : most;
        };

        /** Why the row is left out by the amount that was chosen; empty where it is not. */
        const whyLeftOut = (row) => {
            const how = form.elements.namedItem("how")?.value;
            const cents = how && wantedBy(row);
            if (how === "same") {
                const typed = asCents(form.querySelector("#altegio-same-amount").value);
                return row.dataset.decimals === "0" && typed % 100 ? form.dataset.noDecimals : "";
            }
            return how && !cents ? form.dataset.unknown : "";
        };

        const wordsFor = (isReady, hasProgram) => {
            if (isReady) {
                return `✓ ${form.dataset.ready}`;
            }
            return hasProgram ? `… ${form.dataset.choose}` : `– ${form.dataset.lacking}`;
        };

        /** Says in the row what will become of it; returns whether something will. */
        const judge = (row) => {
            const place = row.querySelector("[data-verdict]");
            const box = row.querySelector("input[type=checkbox]");
            if (!place || !box) {
                return false;
            }
            const wanted = program?.value || "";
            const has = !program || !wanted || Boolean(row.querySelector(`[data-program="${CSS.escape(wanted)}"]`));
            row.querySelectorAll("[data-program]").forEach((offer) => {
                offer.hidden = Boolean(program && wanted && has && offer.dataset.program !== wanted);
            });
            const why = whyLeftOut(row);
            const isReady = Boolean(box.checked && has && !why && (!program || isCancel || wanted));
            say(place, box.checked ? (why && `– ${why}`) || wordsFor(isReady, has) : "");
            return isReady;
        };

        /** What one row takes, of what the rows before leave on its card; null where that is not known. */
        const taken = (row, left) => {
            const [card, _most, balance] = row.querySelector("[name$=-choice]").value.split("|");
            const wanted = wantedBy(row);
            const there = Math.min(left.get(card) ?? Infinity, asCents(balance ?? "") || Infinity);
            left.set(card, Math.max(there - wanted, 0));
            return wanted && Math.min(wanted, there);
        };

        const inWords = (cents) =>
            (cents / 100).toLocaleString(document.documentElement.lang || undefined, { maximumFractionDigits: 2 });

        /** Points and bills of all that is ticked: empty where not all of it is known, or where it is no one currency. */
        const totals = (rows) => {
            const currencies = new Set(rows.map((row) => row.dataset.currency));
            if (!form.elements.namedItem("how")?.value || currencies.size !== 1) {
                return "";
            }
            const left = new Map();
            const points = rows.map((row) => taken(row, left));
            const bills = rows.map((row) => asCents(row.dataset.left));
            if ([...points, ...bills].includes(null)) {
                return "";
            }
            const sum = (all) => all.reduce((total, cents) => total + cents, 0);
            const [take, before] = [sum(points), sum(bills)];
            const figures = { take: inWords(take), before: inWords(before), after: inWords(before - take) };
            return ` ${fill(form.querySelector("#altegio-count").dataset.totals, figures)}`;
        };

        const judgeAll = () => {
            const rows = [...form.querySelectorAll(".altegio-row")].filter(judge);
            say(
                form.querySelector("#altegio-count"),
                fill(form.dataset.count, { count: rows.length }) + totals(rows),
            );
        };

        const showReading = () => {
            const total = form.querySelectorAll(".altegio-row").length;
            const done = total - form.querySelectorAll(".altegio-row[data-unread]").length;
            form.querySelector("#altegio-read").value = done;
            form.querySelector("#altegio-read-text").textContent = fill(form.dataset.progress, { done, total });
            form.querySelector("#altegio-reading").hidden = done === total;
        };

        const cardOf = (choice) => choice.value.split("|")[0];

        /** What the person chose in a row stays chosen in the one that comes in its place, or the row is not ticked. */
        const carryOver = (row, fresh) => {
            const box = row.querySelector("input[type=checkbox]");
            const choice = form.elements.namedItem("how") && row.querySelector("[name$=-choice]");
            const card = choice ? cardOf(choice) : row.dataset.card;
            const isUnticked = box ? !box.checked : "unticked" in row.dataset;
            const freshBox = fresh.querySelector("input[type=checkbox]");
            const freshChoice = fresh.querySelector("[name$=-choice]");
            if (isUnticked) {
                fresh.dataset.unticked = "";
            }
            if (card) {
                fresh.dataset.card = card;
            }
            if (freshBox) {
                const same = [...(freshChoice.options ?? [freshChoice])].find((one) => cardOf(one) === card);
                if (same) {
                    same.selected = true;
                }
                freshBox.checked = !isUnticked && Boolean(!card || same);
            }
        };

        const readRow = async (row) => {
            const fresh = await askForPart(`${form.dataset.rowUrl}?visit=${row.dataset.visit}`, ".altegio-row");
            if (!fresh) {
                throw new Error("no row");
            }
            carryOver(row, fresh);
            const focused = row.contains(document.activeElement) && document.activeElement.name;
            row.replaceWith(fresh);
            if (focused) {
                fresh.querySelector(`[name="${focused}"]`)?.focus({ preventScroll: true });
            }
            learn(fresh);
            return fresh;
        };

        /** One row at a time, since Altegio counts the requests; a row whose number is being typed is left alone. */
        const readRest = async () => {
            let failures = 0;
            for (const row of form.querySelectorAll(".altegio-row[data-unread]")) {
                if (form.dataset.isSent) {
                    return;
                }
                if (failures >= 3) {
                    break;
                }
                if (row.contains(document.activeElement)) {
                    continue;
                }
                let shown = row;
                try {
                    do {
                        const wait = 1000 * (shown.dataset.wait || 0);
                        await new Promise((resolve) => setTimeout(resolve, wait));
                        shown = await readRow(shown);
                    } while (0 < shown.dataset.wait && shown.dataset.wait < LONGEST_WAIT && !form.dataset.isSent);
                    shown.removeAttribute("data-unread");
                    failures = 0;
                } catch {
                    failures += 1;
                    const place = shown.querySelector("[data-text], .altegio-problem");
                    if (place) {
                        place.textContent = `⚠ ${form.dataset.unreadable}`;
                    }
                }
                showReading();
                judgeAll();
            }
            form.querySelector("#altegio-reading").hidden = true; // what is left says so itself
        };

        form.addEventListener("change", (event) => {
            wasTouched = wasTouched || event.target === program;
            if (event.target.id === "altegio-same-amount" && event.target.value) {
                form.querySelector("#altegio-same").checked = true;
            }
            judgeAll();
        });
        form.addEventListener("input", judgeAll);
        form.querySelectorAll(".altegio-row").forEach(learn);
        showReading();
        judgeAll();
        readRest();
    };

    /* The page of a batch */

    const batch = (page) => {
        const openPart = page.querySelector("#altegio-batch-open");
        const button = page.querySelector("[data-altegio-continue]");
        let isDue = Boolean(button);
        if (openPart.hidden) {
            return;
        }
        if (button) {
            button.hidden = true; // this script goes on by itself
        }

        const show = (state) => {
            for (const [operation, html] of Object.entries(state.rows)) {
                const cell = page.querySelector(`[data-operation="${CSS.escape(operation)}"]`);
                if (cell) {
                    put(cell, html);
                }
            }
            const progress = page.querySelector("#altegio-progress");
            progress.max = state.total;
            progress.value = state.finished;
            say(page.querySelector("#altegio-summary"), state.summary);
            openPart.hidden = !state.is_open;
        };

        keepOn(page, async () => {
            const body = isDue ? csrfForm(page) : null;
            const state = await ask(isDue ? page.dataset.step : page.dataset.state, { body });
            show(state);
            tell(page, "");
            isDue = state.is_due;
            const wait = isDue && state.goes_well !== false ? 50 : 2000;
            return state.is_open ? Math.max(wait, document.hidden ? 1000 : 0) : null;
        });
    };

    document.querySelectorAll("[data-altegio-rows]").forEach(confirmation);
    document.querySelectorAll("[data-altegio-batch]").forEach(batch);
})();
