// Who the visitor is, on a server with tokens: the role, what it lacks, and the way to the login.
//
// The server decides about each call; the page only hides what would be refused. The cookie of the login is the
// browser's: no script can read it, and `fetch`, `EventSource` and `WebSocket` carry it by themselves.

import { Backoff, sleep } from "./backoff.js";
import { call } from "./call.js";
import { onUnauthorized } from "./refusal.js";

const LOGIN = "/login";
const FIRST_CEILING_MS = 500;

const element = (id) => document.getElementById(id);

/** Resolves once the visitor may read. Without a login the page leaves for that, and nothing resolves. `fail(text)` shows
 *  why there is no answer. */
export async function admitted(fail) {
  const backoff = new Backoff(FIRST_CEILING_MS);
  for (;;) {
    try {
      const standing = await call("/api/access");
      if (standing.role !== null) return show(standing);
      location.replace(LOGIN);
      return new Promise(() => {});
    } catch (error) {
      fail(`The server does not say who you are: ${error.message}. The page tries again.`);
      await sleep(backoff.failed(), new AbortController().signal);
    }
  }
}

/** Shows the role. The style sheet hides what needs another one (`data-needs`), and says so (`data-lacks`). */
function show({ has_tokens, role }) {
  document.body.dataset.role = role;
  element("who").hidden = !has_tokens;
  element("role").textContent = role;
  element("token-note").hidden = !has_tokens;
  element("log-out").addEventListener("click", logOut);
  // A login ends while a page is open, by its time or by the server's owner.
  onUnauthorized(() => (element("login-over").hidden = false));
}

async function logOut() {
  await fetch("/logout", { method: "POST", redirect: "manual" }).catch(() => null);
  location.assign(LOGIN);
}
