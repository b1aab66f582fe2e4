// Deployment logs on Bun: server-sent events from a stream per subscriber, WebSockets by Bun's own publish, held polls
// that answer with all new lines. It keeps the last lines in memory, for polls.

/** Lines that polls may ask for: more than the slowest of them is behind. */
const KEPT_MAX = 65536;
const encoder = new TextEncoder();
const lines: string[] = [];
let dropped = 0;
const streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
let held: { from: number; answer: (response: Response) => void }[] = [];

function batch(from: number): Response {
  const next = dropped + lines.length;
  return new Response(lines.slice(Math.max(0, from - dropped)).join("\n"), { headers: { next: String(next) } });
}

function append(text: string) {
  lines.push(text);
  if (lines.length > 2 * KEPT_MAX) {
    lines.splice(0, KEPT_MAX);
    dropped += KEPT_MAX;
  }
  if (streams.size > 0) {
    const event = encoder.encode(`data: ${text}\n\n`);
    for (const stream of streams) stream.enqueue(event);
  }
  server.publish("log", text);
  const waiting = held;
  held = [];
  for (const poll of waiting) poll.answer(batch(poll.from));
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  // Seconds; the largest that it takes. A held poll is silent.
  idleTimeout: 255,
  async fetch(request, server) {
    const url = new URL(request.url);
    switch (url.pathname) {
      case "/lines":
        append(await request.text());
        return new Response(null, { status: 204 });
      case "/sse": {
        let own: ReadableStreamDefaultController<Uint8Array>;
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            own = controller;
            streams.add(own);
            own.enqueue(encoder.encode(": connected\n\n"));
          },
          cancel() {
            streams.delete(own);
          },
        });
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      }
      case "/websocket":
        return server.upgrade(request) ? undefined : new Response(null, { status: 400 });
      case "/poll": {
        const from = Number(url.searchParams.get("from") ?? 0);
        if (from < dropped + lines.length) return batch(from);
        if (!url.searchParams.has("wait")) return new Response(null, { status: 204 });
        return new Promise<Response>((answer) => {
          held.push({ from, answer });
        });
      }
      default:
        return new Response(null, { status: 404 });
    }
  },
  websocket: {
    open(socket) {
      socket.subscribe("log");
    },
    message() {},
  },
});

console.log(`listening on http://127.0.0.1:${server.port}`);
process.stdin.on("end", () => process.exit(0)).resume();
