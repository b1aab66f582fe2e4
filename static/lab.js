// The page: an overview; a deployment with a lane for each transport (`#/ID`), or over one alone (`#/ID/TRANSPORT`).
//
// Plain ES modules on top of the API that everybody uses. The transports are asked for, never listed here: the
// browser half of a wire is the module of its name in `transports/`.

import { DeploymentView } from "./deployment.js";
import { LanesView } from "./lanes/view.js";
import { Overview } from "./overview.js";
import { Source } from "./source.js";

const ROUTE = /^#\/([^/]+)(?:\/([a-z0-9-]+))?$/;
const WIRE = /^[a-z0-9-]+$/;

const element = (id) => document.getElementById(id);

/** What the server offers, each with the browser half of its wire. Two engines of one wire share it. */
async function loadTransports() {
  const response = await fetch("/api/transports", { cache: "no-store" });
  const transports = await response.json();
  return Promise.all(transports.map(async (row) => ({ ...row, half: await loadHalf(row.wire) })));
}

/** null: this page cannot speak that wire. */
async function loadHalf(wire) {
  if (!WIRE.test(wire)) return null;
  return import(`./transports/${wire.replaceAll("-", "_")}.js`).catch(() => null);
}

async function start() {
  const [transports, source] = [await loadTransports(), new Source()];
  const deployment = new DeploymentView(transports, source);
  const lanes = new LanesView(transports, source);
  /** Created here without a source: its commands are shown. */
  const unfed = new Set();
  const overview = new Overview(({ id }, source) => {
    if (source === null) unfed.add(id);
    location.hash = `#/${id}`;
  });

  function route() {
    overview.close();
    deployment.close();
    lanes.close();
    const [, given, transport] = location.hash.match(ROUTE) ?? [];
    const id = given && encodeURIComponent(given);
    const withCommands = unfed.has(given);
    element("overview").hidden = id !== undefined;
    element("lanes").hidden = id === undefined || transport !== undefined;
    element("deployment").hidden = id === undefined || transport === undefined;
    if (id === undefined) overview.open();
    else if (transport === undefined) lanes.open(id, { withCommands });
    else deployment.open(id, transport, { withCommands });
  }

  addEventListener("hashchange", route);
  route();
}

start().catch((error) => {
  element("failure").hidden = false;
  element("failure").textContent = `The page could not start: ${error.message}`;
});
