// The page: it routes to its views and loads the browser halves of the transports.
//
// The views are the overview (`#/`), a deployment with a lane for each transport (`#/ID`), a deployment over one
// transport (`#/ID/TRANSPORT`), the lessons (`#/lessons`) and the results (`#/reports`). The page uses the same API as
// every other client. The server names its transports; this file lists none. The browser half of a transport is the
// module of its name in `transports/`.

import { admitted } from "./access.js";
import { Backoff, sleep } from "./backoff.js";
import { call } from "./call.js";
import { DeploymentView } from "./deployment.js";
import { Held } from "./held.js";
import { LanesView } from "./lanes/view.js";
import { Lessons } from "./lessons.js";
import { Overview } from "./overview.js";
import { resume } from "./presence.js";
import { Reports } from "./reports.js";
import { Source } from "./source.js";

const LESSONS = "#/lessons";
const LESSON = /^#\/lessons\/(\d{1,2})$/;
const REPORTS = "#/reports";
const ROUTE = /^#\/([^/]+)(?:\/([a-z0-9-]+))?$/;
const NAME = /^[a-z0-9-]+$/;
const FIRST_CEILING_MS = 500;

const element = (id) => document.getElementById(id);

/** Loads the transports that the server offers, each with its browser half. */
async function loadTransports() {
  const backoff = new Backoff(FIRST_CEILING_MS);
  for (;;) {
    try {
      const transports = await call("/api/transports");
      return await Promise.all(transports.map(async (row) => ({ ...row, half: await loadHalf(row.name) })));
    } catch (error) {
      fail(`The server does not list its transports: ${error.message}. The page tries again.`);
      await sleep(backoff.failed(), new AbortController().signal);
    }
  }
}

/** Loads the browser half of a transport. Returns null when this page has none. */
async function loadHalf(name) {
  if (!NAME.test(name)) return null;
  return import(`./transports/${name.replaceAll("-", "_")}.js`).catch(() => null);
}

async function start() {
  await admitted(fail);
  fail("");
  resume();
  const [transports, source, held] = [await loadTransports(), new Source(), new Held()];
  const deployment = new DeploymentView(transports, source, held);
  const lanes = new LanesView(transports, source, held);
  const lessons = await Lessons.load(lanes);
  const overview = new Overview(({ id }) => (location.hash = `#/${id}`));

  const reports = new Reports(held);
  const views = [overview, deployment, lanes, lessons, reports];

  /** Shows this view and hides the others. */
  function show(name) {
    for (const main of document.querySelectorAll("main")) main.hidden = main.id !== name;
    const { hash } = location;
    const here = [LESSONS, REPORTS].find((path) => hash.startsWith(path)) ?? "#/";
    for (const link of document.querySelectorAll("nav a")) {
      link.ariaCurrent = link.getAttribute("href") === here ? "page" : null;
    }
  }

  function route() {
    for (const view of views) view.close();
    const { hash } = location;
    const [, lesson] = hash.match(LESSON) ?? [];
    const [, given, transport] = hash.match(ROUTE) ?? [];
    if (hash === REPORTS) {
      show("reports");
      reports.open();
    } else if (lesson !== undefined && lessons.open(Number(lesson))) {
      show("lanes");
    } else if (hash.startsWith(LESSONS)) {
      show("lessons");
      lessons.list();
    } else if (given === undefined) {
      show("overview");
      overview.open();
    } else if (transport === undefined) {
      show("lanes");
      document.title = "wirelab";
      const named = (name) => (document.title = `${name} · wirelab`);
      lanes.open(encodeURIComponent(given), { named });
    } else {
      show("deployment");
      deployment.open(encodeURIComponent(given), transport);
    }
  }

  addEventListener("hashchange", route);
  route();
}

/** Shows a failure of the whole page; an empty text hides it. */
function fail(text) {
  element("failure").hidden = text === "";
  element("failure").textContent = text;
}

start().then(
  () => fail(""),
  (error) => fail(`The page could not start: ${error.message}`),
);
