/* Several visits at once: rows that are read one by one while the person looks, and progress that is driven and shown.
   Needs visit.js before it; everything here also works without this file. */
"use strict";

(() => {
    const altegio = window.altegioLoyalty;
    const fill = (text, figures) => text.replace(/\{(\w+)\}/g, (_all, name) => figures[name]);

    /* The confirmation page */

    const confirmation = (form) => {
        const program = form.querySelector("#altegio-program");
        const typedProgram = form.querySelector("#altegio-program-id");
        const isCancel = program && !/apply_/.test(form.dataset.rowUrl);
        const reading = form.querySelector("#altegio-reading");
        const count = form.querySelector("#altegio-count");
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

        const judge = (row) => {
            const place = row.querySelector("[data-verdict]");
            const box = row.querySelector("input[type=checkbox]");
            if (!place || !box) {
                return (row.querySelector("input[name$=card_id]") || { value: "" }).value ? 1 : 0;
            }
            const wanted = (typedProgram && typedProgram.value) || (program && program.value) || "";
            const has = !program || !wanted || row.querySelector(`[data-program="${CSS.escape(wanted)}"]`);
            row.querySelectorAll("[data-program]").forEach((offer) => {
                offer.hidden = Boolean(program && wanted && has && offer.dataset.program !== wanted);
            });
            const isReady = Boolean(box.checked && has && (!program || isCancel || wanted));
            const text = isReady
                ? `✓ ${form.dataset.ready}`
                : box.checked && !has
                  ? `– ${form.dataset.lacking}`
                  : box.checked
                    ? `… ${form.dataset.choose}`
                    : "";
            if (place.textContent !== text) {
                place.textContent = text;
            }
            return isReady ? 1 : 0;
        };

        const judgeAll = () => {
            const ready = [...form.querySelectorAll(".altegio-row")].reduce((sum, row) => sum + judge(row), 0);
            const text = fill(form.dataset.count, { count: ready });
            if (count.textContent !== text) {
                count.textContent = text;
            }
        };

        const showReading = () => {
            const rows = form.querySelectorAll(".altegio-row").length;
            const done = rows - form.querySelectorAll(".altegio-row[data-unread]").length;
            form.querySelector("#altegio-read").value = done;
            form.querySelector("#altegio-read-text").textContent = fill(form.dataset.progress, { done, total: rows });
            reading.hidden = done === rows;
        };

        const readRow = async (row) => {
            const html = await altegio.ask(`${form.dataset.rowUrl}?visit=${row.dataset.visit}`, { accept: "text/html" });
            const fresh = new DOMParser().parseFromString(html, "text/html").querySelector(".altegio-row");
            if (!fresh) {
                throw new Error("no row");
            }
            row.replaceWith(fresh);
            learn(fresh);
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
                try {
                    await readRow(row);
                    failures = 0;
                } catch (error) {
                    failures += 1;
                    row.removeAttribute("data-unread");
                    row.querySelector("[data-text]").textContent = `⚠ ${form.dataset.unreadable}`;
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

    const batch = async (page) => {
        const isOpenPart = page.querySelector("#altegio-batch-open");
        if (isOpenPart.hidden) {
            return;
        }
        const button = page.querySelector("[data-altegio-continue]");
        let failures = 0;
        let isDue = Boolean(button);
        if (button) {
            button.hidden = true; // this script goes on by itself
        }

        const show = (state) => {
            for (const [operation, html] of Object.entries(state.rows)) {
                const cell = page.querySelector(`[data-operation="${CSS.escape(operation)}"]`);
                if (cell) {
                    altegio.put(cell, html);
                }
            }
            const progress = page.querySelector("#altegio-progress");
            progress.max = state.total;
            progress.value = state.finished;
            const summary = page.querySelector("#altegio-summary");
            if (summary.textContent !== state.summary) {
                summary.textContent = state.summary;
            }
            isOpenPart.hidden = !state.is_open;
        };

        for (;;) {
            let wait = 1500;
            try {
                const body = isDue ? altegio.emptyForm(page) : null;
                const state = await altegio.ask(isDue ? page.dataset.step : page.dataset.state, { body });
                show(state);
                altegio.tellTrouble(page, null);
                failures = 0;
                if (!state.is_open) {
                    return;
                }
                wait = state.is_due && state.goes_well !== false ? 50 : 2000;
                isDue = state.is_due;
            } catch (error) {
                failures += 1;
                altegio.tellTrouble(page, error);
                if (error.signedOut || error.isGone) {
                    return;
                }
                wait = Math.min(1500 * 2 ** failures, 30000);
            }
            await altegio.pause(document.hidden ? Math.max(wait, 1000) : wait);
        }
    };

    document.querySelectorAll("[data-altegio-rows]").forEach(confirmation);
    document.querySelectorAll("[data-altegio-batch]").forEach(batch);
})();
