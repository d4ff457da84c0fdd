// What would become of a message: the form, which is asked for at /api/explain.

import { at, make } from "./dom.js";
import { explanation } from "./explanation.js";
import { Refused, askJson } from "./gateway.js";
import { said } from "./said.js";

/** Plugins may take their time. */
const PATIENCE = 60_000;

export function prepareTrial() {
  at("trial-form").addEventListener("submit", (event) => {
    event.preventDefault();
    explain(event.target);
  });
}

/** The listeners that there are to try. */
export function offerListeners(names) {
  const select = at("trial-form").elements.listener;
  if (select.length - 1 === names.length) return;
  select.replaceChildren(make("option", { value: "" }, "the first"), ...names.map((name) => make("option", { value: name }, name)));
}

async function explain(form) {
  const answer = at("trial-answer");
  const button = form.querySelector("button");
  button.disabled = true;
  answer.setAttribute("aria-busy", "true");
  try {
    const body = JSON.stringify(inquiry(form));
    answer.replaceChildren(...explanation(await askJson("/api/explain", { method: "POST", body, signal: AbortSignal.timeout(PATIENCE) })));
  } catch (error) {
    answer.replaceChildren(make("p", { class: "mistake", role: "alert" }, complaint(error)));
  }
  answer.removeAttribute("aria-busy");
  button.disabled = false;
  answer.focus({ preventScroll: true });
  answer.scrollIntoView({ block: "nearest" });
}

function complaint(error) {
  if (error instanceof Refused && error.status === 404) return "This gateway explains in the terminal alone: portcullis explain";
  if (error instanceof Refused) return said(error.message);
  return `No answer: ${error.message}`;
}

function inquiry(form) {
  const { from, to, client, helo, user, tls, listener, message } = Object.fromEntries(new FormData(form));
  return {
    from: from.trim(), to: to.split(/[\s,]+/).filter(Boolean), tls: tls === "on",
    ...optional("client", client.trim()), ...optional("helo", helo.trim()), ...optional("user", user.trim()), ...optional("listener", listener), ...optional("message", message),
  };
}

const optional = (name, value) => (value ? { [name]: value } : {});
