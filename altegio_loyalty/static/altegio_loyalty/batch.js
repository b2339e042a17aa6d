/* Several visits at once: rows that are read one by one while the person looks, and progress that is driven and shown. */
"use strict";

(() => {
    const { ask, askForPart, csrfForm, fill, keepOn, put, say, tell } = window.altegioLoyalty;

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
            const isReady = Boolean(box.checked && has && (!program || isCancel || wanted));
            say(place, box.checked ? wordsFor(isReady, has) : "");
            return isReady;
        };

        /** What one row takes by the choice above, of what the rows before leave on its card; as the server does it. */
        const taken = (row, left) => {
            const [card, most, balance] = row.querySelector("[name$=-choice]").value.split("|");
            const how = form.elements.namedItem("how").value;
            const same = Number(form.querySelector("#altegio-same-amount").value.replace(",", "."));
            const wanted = { all: Number(most), half: Math.floor(Number(most) * 50) / 100, same: Math.min(same, Number(most)) };
            const known = Number.isNaN(Number(balance)) ? Infinity : Number(balance);
            const points = Math.min(wanted[how] || 0, left.get(card) ?? known);
            left.set(card, (left.get(card) ?? known) - points);
            return points;
        };

        /** Points and bills of all that is ticked: empty where not all of it is known. */
        const totals = (rows) => {
            const place = form.querySelector("#altegio-count");
            if (!form.elements.namedItem("how")?.value || !rows.every((row) => row.dataset.left)) {
                return "";
            }
            const left = new Map();
            const take = rows.reduce((sum, row) => sum + taken(row, left), 0);
            const before = rows.reduce((sum, row) => sum + Number(row.dataset.left), 0);
            const words = Object.entries({ take, before, after: before - take }).map(([name, figure]) => [
                name,
                figure.toLocaleString(document.documentElement.lang || undefined, { maximumFractionDigits: 2 }),
            ]);
            return ` ${fill(place.dataset.totals, Object.fromEntries(words))}`;
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

        const readRow = async (row) => {
            const fresh = await askForPart(`${form.dataset.rowUrl}?visit=${row.dataset.visit}`, ".altegio-row");
            if (!fresh) {
                throw new Error("no row");
            }
            row.replaceWith(fresh);
            learn(fresh);
            return fresh;
        };

        /** One row at a time, since Altegio counts the requests; a row whose number is being typed is left alone. */
        const readRest = async () => {
            let failures = 0;
            for (const row of form.querySelectorAll(".altegio-row[data-unread]")) {
                if (form.dataset.isSent || failures >= 3) {
                    return;
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
                    shown.removeAttribute("data-unread");
                    shown.querySelector("[data-text]").textContent = `⚠ ${form.dataset.unreadable}`;
                }
                showReading();
                judgeAll();
            }
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
