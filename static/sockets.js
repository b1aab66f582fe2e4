// Closing WebSockets: without a failure on the console, and without blocking the next socket.

/** How long a socket may still open before it is closed, ms. Browsers open one socket to a server at a time, so the next
 *  one waits behind a socket that hangs. */
const OPENING_MS_MAX = 1_000;

/** Closes a socket. A socket that is still opening gets a moment, because browsers log its early end as a failure. */
export function hangUp(socket) {
  const close = () => socket.close();
  if (socket.readyState !== WebSocket.CONNECTING) return close();
  socket.addEventListener("open", close, { once: true });
  setTimeout(close, OPENING_MS_MAX);
}
