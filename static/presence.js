// Presence: how the server knows that this page is still there, so that what the page started ends with it.
//
// A generator and a crowd go on by themselves. A page that starts one names itself and keeps a socket open by that name.
// The server ends what the page started soon after the page closed its socket, and later if the socket broke. The name
// belongs to the tab, so a page that is loaded again keeps what it started. WebSockets are not among the browser's six
// connections.

import { Backoff, sleep } from "./backoff.js";
import { hangUp } from "./sockets.js";

const KEPT = "wirelab-page";
const FIRST_CEILING_MS = 500;

/** Makes a random name by which the server knows a page. */
export const randomPage = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => (byte % 36).toString(36)).join("");

/** The name of this tab; null until the tab has started something. */
let page = sessionStorage.getItem(KEPT);
let isHeld = false;

/** Adds the name of this page to the path of a call that starts something. Keeps the page's socket open from now on. */
export function endingWithPage(path) {
  page ??= randomPage();
  sessionStorage.setItem(KEPT, page);
  hold();
  return `${path}?page=${page}`;
}

/** Opens the socket again in a page that was loaded again. */
export function resume() {
  if (page !== null) hold();
}

async function hold() {
  if (isHeld) return;
  isHeld = true;
  const left = new AbortController();
  addEventListener("pagehide", () => left.abort(), { once: true });
  const backoff = new Backoff(FIRST_CEILING_MS);
  do {
    await open(left.signal, () => backoff.greeted());
  } while (!left.signal.aborted && (await sleep(backoff.failed(), left.signal)));
  isHeld = false;
}

/** Opens one socket. Resolves when it has ended. */
function open(signal, opened) {
  return new Promise((ended) => {
    const url = new URL(`/api/lanes/${page}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.addEventListener("open", opened);
    socket.addEventListener("close", ended);
    signal.addEventListener("abort", () => (hangUp(socket), ended()), { once: true });
  });
}

// A page that comes back from the browser's cache goes on.
addEventListener("pageshow", ({ persisted }) => persisted && resume());
