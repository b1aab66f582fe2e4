// The page: an overview, one deployment at its own address (`#/ID` or `#/ID/TRANSPORT`), and results (`#/reports`).
//
// Plain ES modules on top of the API that everybody uses. The transports are asked for, never listed here: the
// browser half of a wire is the module of its name in `transports/`.

import { DeploymentView } from "./deployment.js";
import { Overview } from "./overview.js";
import { Reports } from "./reports.js";

const ROUTE = /^#\/([^/]+)(?:\/([a-z0-9-]+))?$/;
/** No deployment's id is that short. */
const REPORTS = "#/reports";
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
  const deployment = new DeploymentView(await loadTransports());
  /** Created here without a source: its commands are shown. */
  const unfed = new Set();
  const overview = new Overview(({ id }, source) => {
    if (source === null) unfed.add(id);
    location.hash = `#/${id}`;
  });

  const reports = new Reports();

  function route() {
    overview.close();
    deployment.close();
    reports.close();
    element("reports").hidden = location.hash !== REPORTS;
    if (location.hash === REPORTS) {
      element("overview").hidden = element("deployment").hidden = true;
      reports.open();
      return;
    }
    const [, id, transport] = location.hash.match(ROUTE) ?? [];
    element("overview").hidden = id !== undefined;
    element("deployment").hidden = id === undefined;
    if (id === undefined) overview.open();
    else deployment.open(encodeURIComponent(id), transport, { withCommands: unfed.has(id) });
  }

  addEventListener("hashchange", route);
  route();
}

start().catch((error) => {
  element("failure").hidden = false;
  element("failure").textContent = `The page could not start: ${error.message}`;
});
