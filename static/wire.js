// What happens on a lane's wire, as events: who asked, who answered, and when.
//
// A transport's half says what it does, step by step; whoever draws or counts listens. Nothing is kept here but
// what is still open, so that an end is told once.

/** One lane's wire. `listen(event)` is called at once, with `at` in the milliseconds of `performance.now()`. */
export class Wire {
  #listen;
  #exchanges = 0;
  /** Requests without their answer, and streams that are open. */
  #open = new Set();
  /** Whether something happened since we left. */
  #isThere = false;

  constructor(listen = () => {}) {
    this.#listen = listen;
  }

  /** A request leaves. What becomes of it is told to the exchange that is returned. */
  asked() {
    const id = ++this.#exchanges;
    this.#open.add(id);
    this.#tell({ kind: "asked", id });
    const end = (event) => {
      if (this.#open.delete(id)) this.#tell({ ...event, id });
    };
    return {
      /** The head of an answer that goes on: a stream; `duplex` if both sides may write to it. */
      opened: ({ duplex = false } = {}) => this.#tell({ kind: "opened", id, duplex }),
      /** The whole answer; without an outcome there was none, and the request is cut. */
      ended: (outcome, lines = 0) => end(outcome ? { kind: "answered", outcome, lines } : { kind: "cut" }),
      cut: () => end({ kind: "cut" }),
    };
  }

  /** Lines came over an open stream. */
  pushed(lines) {
    this.#tell({ kind: "pushed", lines });
  }

  /** A message to the server over an open stream. */
  said(what) {
    this.#tell({ kind: "said", what });
  }

  /** A message from the server that is no line. */
  heard(what) {
    this.#tell({ kind: "heard", what });
  }

  /** We close whatever is open, and ask no more. Told also when nothing is: a client that sleeps ends its sleep. */
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
