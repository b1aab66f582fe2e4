// What happens on the wire of a lane, as events: requests, answers, messages and cuts, with their times.
//
// The browser half of a transport reports each step, and the timeline listens. The wire keeps only what is still open,
// so that each end is reported once.

/** The wire of one lane. It calls `listen(event)` at once, with `at` in the milliseconds of `performance.now()`. */
export class Wire {
  #listen;
  #exchanges = 0;
  /** Requests without an answer, and open streams. */
  #open = new Set();
  /** Whether something happened since the client left. */
  #isThere = false;

  constructor(listen = () => {}) {
    this.#listen = listen;
  }

  /** Reports that a request leaves. The returned exchange reports what happens to it. `holds` says that the request asks
   *  the server to wait for a line. */
  asked({ holds = false } = {}) {
    const id = ++this.#exchanges;
    this.#open.add(id);
    this.#tell({ kind: "asked", id, holds });
    const end = (event) => {
      if (this.#open.delete(id)) this.#tell({ ...event, id });
    };
    return {
      /** Reports the head of a stream, an answer that goes on. `duplex` says that both sides may write. */
      opened: ({ duplex = false } = {}) => this.#tell({ kind: "opened", id, duplex }),
      /** Reports a whole answer. Without an outcome there was no answer, and the request is cut. */
      ended: (outcome, lines = 0) => end(outcome ? { kind: "answered", outcome, lines } : { kind: "cut" }),
      cut: () => end({ kind: "cut" }),
    };
  }

  /** Reports lines over an open stream. */
  pushed(lines) {
    this.#tell({ kind: "pushed", lines });
  }

  /** Reports a message to the server over an open stream. */
  said(what) {
    this.#tell({ kind: "said", what });
  }

  /** Reports a message from the server that is not a line. */
  heard(what) {
    this.#tell({ kind: "heard", what });
  }

  /** Reports that the client closes everything and asks no more. This also ends the sleep of a client with nothing open. */
  left() {
    if (!this.#isThere) return;
    this.#open.clear();
    this.#tell({ kind: "left" });
    this.#isThere = false;
  }

  #tell(event) {
    this.#isThere = true;
    this.#listen({ at: performance.now(), ...event });
  }
}
