// Asks the gateway. A token, if it wants one, is kept in this tab's session alone.

const TIMEOUT = 8000;
const KEY = "portcullis-token";

/** Nobody may ask that without a token. */
export class Locked extends Error {}

/** An answer that is no 2xx. */
export class Refused extends Error {
  constructor(status, text) {
    super(reason(text) || `status ${status}`);
    this.status = status;
  }
}

/** A refusal is `{"error": ...}`, or a line of text. */
function reason(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return text.trim();
  }
}

export function remember(token) {
  sessionStorage.setItem(KEY, token);
}

export async function ask(path, { method = "GET", body, signal, accept = "application/json" } = {}) {
  const headers = { Accept: accept };
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (method !== "GET") headers["Portcullis-Request"] = "1";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method, headers, body, cache: "no-store", credentials: "omit", redirect: "error",
    signal: signal ?? AbortSignal.timeout(TIMEOUT),
  });
  if (response.status === 401) {
    // Said again and again, a wrong one would keep the right one out, too.
    if (token) sessionStorage.removeItem(KEY);
    throw new Locked(token ? "That token was not taken." : "");
  }
  if (!response.ok) throw new Refused(response.status, await response.text());
  return response;
}

export const askText = async (path) => (await ask(path, { accept: "text/plain" })).text();

export const askJson = async (path, options) => (await ask(path, options)).json();

/** None where this gateway does not have it. */
export async function askMaybe(path) {
  try {
    return await askJson(path);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return null;
    throw error;
  }
}
