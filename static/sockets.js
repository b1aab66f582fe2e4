// WebSockets that are left: closed without a failure on the console, and without standing in the way of the next.

/** A socket that opens within this is closed then, ms. Not longer: browsers open one socket to a server at a time, and the
 *  next would wait behind one that hangs. */
const OPENING_MS_MAX = 1_000;

/** Closes a socket. One that is still opening is given a moment: browsers call its end a failure on the console. */
export function hangUp(socket) {
  const close = () => socket.close();
  if (socket.readyState !== WebSocket.CONNECTING) return close();
  socket.addEventListener("open", close, { once: true });
  setTimeout(close, OPENING_MS_MAX);
}
