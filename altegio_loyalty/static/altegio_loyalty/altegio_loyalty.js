/* What the scripts of our pages share; the pages load it before them. Every page also works without any script, by reloading:
   where this one is missing, the others stop at their first line and leave the page to its forms and links. */
"use strict";

(() => {
    /* Asking this site */

    /** Whether this page itself is the login page now. One at another site cannot be read from here. */
    const leadsToLogin = () =>
        fetch(window.location.href, { credentials: "same-origin", cache: "no-store" })
            .then((response) => response.text())
            .then((html) => Boolean(parsed(html).querySelector("input[type=password]")))
            .catch(() => true);

    /** Resolves to the answer; rejects with `isGone` where this person does not get one any more, and then with `signedOut`
        where that is because the login page would come instead. */
    const ask = async (url, { body = null, accept = "application/json" } = {}) => {
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
            error.isGone = response.type === "opaqueredirect" || [403, 404].includes(response.status);
            error.signedOut = error.isGone && (await leadsToLogin());
            throw error;
        }
        return accept === "application/json" ? response.json() : response.text();
    };

    const parsed = (html) => new DOMParser().parseFromString(html, "text/html");

    /** One element of a page of this site, or null. */
    const askForPart = async (url, selector) =>
        parsed(await ask(url, { accept: "text/html" })).querySelector(selector);

    /** A form with the page's CSRF token and these fields. */
    const csrfForm = (page, fields = {}) => {
        const form = new FormData();
        form.append("csrfmiddlewaretoken", page.querySelector("[name=csrfmiddlewaretoken]").value);
        for (const [name, value] of Object.entries(fields)) {
            form.append(name, value);
        }
        return form;
    };

    let wake = () => {};

    /** A person who comes back to the page does not wait for the rest of a pause. */
    const pause = (milliseconds) =>
        new Promise((resolve) => {
            wake = resolve;
            setTimeout(resolve, milliseconds);
        });

    document.addEventListener("visibilitychange", () => document.hidden || wake());

    /** Take one step after another until one gives null; each gives the milliseconds until the next. A step that fails is
        told and tried again, ever more rarely, unless there is nothing to see here for this person any more. */
    const keepOn = async (page, step) => {
        let wait = 0;
        let failures = 0;
        while (wait !== null) {
            await pause(wait);
            try {
                wait = await step();
                failures = 0;
            } catch (error) {
                tellTrouble(page, error);
                if (error.isGone) {
                    return;
                }
                failures += 1;
                wait = Math.max(wait, Math.min(1500 * 2 ** failures, 30000));
            }
        }
    };

    /* Showing what it says: only where it changed, so that nothing is read out twice */

    const say = (element, text) => {
        if (element.textContent !== text) {
            element.textContent = text;
        }
    };

    const trouble = (page) => page.querySelector("#altegio-trouble");

    const tell = (page, text) => {
        say(trouble(page), text);
        trouble(page).hidden = !text;
    };

    const tellTrouble = (page, error) => {
        const { gone, lost, signedOut } = trouble(page).dataset;
        const whyGone = error.signedOut ? signedOut : gone;
        tell(page, error.isGone ? whyGone : lost);
    };

    const shown = new WeakMap();

    /** Put HTML of this site into an element, and the focus, if it was in there, onto what came instead. */
    const put = (element, html) => {
        if (html === undefined || shown.get(element) === html) {
            return;
        }
        shown.set(element, html);
        const had = element.contains(document.activeElement);
        element.replaceChildren(...parsed(html).body.childNodes);
        if (had) {
            const heir = element.querySelector("button, a") || document.querySelector("#content h1, h1");
            if (heir.tagName === "H1") {
                heir.tabIndex = -1;
            }
            heir.focus();
        }
    };

    /** As the server reads it: null for what it refuses or asks about. */
    const asCents = (text) => {
        const plain = text.trim().replace(/[\s'’]/g, " ");
        const match = /^(\d{1,10}|[1-9]\d{0,2}(?:([ .,])\d{3})(?:\2\d{3})*)(?:([.,])(\d{1,2}))?$/.exec(plain);
        if (!match || (match[2] && match[2] === match[3])) {
            return null;
        }
        const [, whole, mark, point, cents = ""] = match;
        if (mark && mark !== " " && !point && whole.split(mark).length === 2) {
            return null;
        }
        return Number(whole.replace(/\D/g, "")) * 100 + Number(cents.padEnd(2, "0"));
    };

    /** A text of the templates with its figures. */
    const fill = (text, figures) => text.replace(/\{(\w+)\}/g, (_all, name) => figures[name]);

    /* A form that is sent once. Where it says what to tell when that fails, it is sent from here, and keeps what was typed */

    const setSent = (form, isSent) => {
        const button = form.querySelector("[data-altegio-submit]");
        if (!button || Boolean(form.dataset.isSent) === isSent) {
            return;
        }
        if (isSent) {
            form.dataset.isSent = "yes";
            form.setAttribute("aria-busy", "true");
            button.dataset.said = button.textContent;
            button.setAttribute("aria-disabled", "true");
            button.textContent = form.dataset.altegioOnce;
        } else {
            delete form.dataset.isSent;
            form.removeAttribute("aria-busy");
            button.removeAttribute("aria-disabled");
            button.textContent = button.dataset.said;
        }
    };

    /** Whoever signed in again, in another window, has another CSRF token. */
    const renewToken = async (form) => {
        const fresh = await askForPart(window.location.href, "[name=csrfmiddlewaretoken]");
        form.querySelector("[name=csrfmiddlewaretoken]").value = fresh.value;
    };

    /** Send it, and go where the answer leads. The page's token makes it count once, however often it is sent. */
    const post = async (form, page) => {
        tell(page, "");
        try {
            const answer = await ask(form.action || window.location.href, { body: new FormData(form) });
            if (answer.url) {
                window.location.assign(answer.url);
                return;
            }
            setSent(form, false);
            tell(page, answer.error);
        } catch (error) {
            if (error instanceof SyntaxError) {
                form.submit(); // no JSON: the page comes back with what is wrong, and nothing was asked for
                return;
            }
            setSent(form, false);
            if (!error.isGone) {
                tell(page, form.dataset.lost);
                return;
            }
            try {
                await renewToken(form);
                tell(page, form.dataset.again);
            } catch {
                tell(page, error.signedOut ? form.dataset.signedOut : trouble(page).dataset.gone);
            }
        }
    };

    const sendOnce = (form) => {
        const page = document.getElementById("content-main");
        form.addEventListener("submit", (event) => {
            const isSent = Boolean(form.dataset.isSent);
            if (isSent || form.dataset.lost) {
                event.preventDefault();
            }
            if (isSent) {
                return;
            }
            setSent(form, true);
            if (form.dataset.lost) {
                post(form, page);
            }
        });
        window.addEventListener("pageshow", (event) => event.persisted && setSent(form, false));
    };

    document.querySelectorAll("[data-altegio-once]").forEach(sendOnce);

    /* For whoever works with the keys: the list as it was left, and the focus on what the page is for */

    try {
        const list = window.sessionStorage.getItem("altegio_loyalty.list") || "";
        const links = document.querySelectorAll('.breadcrumbs a[href$="/visit/"], .altegio-page a[href$="/visit/"]');
        links.forEach((link) => {
            link.search = list;
        });
    } catch {
        // Without storage nothing is remembered.
    }

    /** Not from a field where the key has a meaning of its own, nor while something is being sent. */
    const isOurEscape = (event) =>
        event.key === "Escape" &&
        !(event.defaultPrevented || event.isComposing || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) &&
        !event.target.closest?.("select, input[type=date], dialog, [role=dialog]") &&
        !document.querySelector("form[data-is-sent]");

    document.addEventListener("keydown", (event) => {
        if (isOurEscape(event)) {
            document.querySelector("[data-altegio-back]")?.click();
            const search = document.getElementById("searchbar");
            search?.focus();
            search?.select();
        }
    });
    /** The keys are named where there are some, and Enter where it does what is said of it. What is not shown keeps its place:
        a click moves the focus, and must not find something else under it then. */
    const nameKeys = () => {
        for (const keys of document.querySelectorAll(".altegio-keys")) {
            const enter = keys.querySelector("[data-altegio-when]");
            const does = document.activeElement?.closest(enter.dataset.altegioWhen);
            enter.style.visibility = does ? "visible" : "hidden";
            keys.hidden = !window.matchMedia("(hover: hover)").matches;
        }
    };

    document.addEventListener("focusin", nameKeys);
    document.addEventListener("focusout", () => setTimeout(nameKeys));
    nameKeys();

    const MAIN = [
        ".altegio-page form[data-altegio-once] input[type=radio]:checked",
        ".altegio-page section[aria-labelledby=cards] a.button",
    ];
    const focusMain = () => {
        if (document.activeElement === document.body && window.matchMedia("(hover: hover)").matches) {
            document.querySelector(MAIN.join())?.focus({ preventScroll: true });
        }
    };

    focusMain();
    if (document.activeElement === document.body && document.querySelector(".altegio-page")) {
        const watch = new MutationObserver(() => {
            focusMain(); // what Altegio answers comes later
            if (document.activeElement !== document.body) {
                watch.disconnect();
            }
        });
        watch.observe(document.body, { childList: true, subtree: true });
    }
    window.altegioLoyalty = { asCents, ask, askForPart, csrfForm, fill, focusMain, keepOn, put, say, sendOnce, tell, tellTrouble };
})();
