// The results that are on the server's disk: one row per folder, its report and its files as links.

/** The page that a run leaves. */
export const REPORT = "report.html";
/** In this order; a word that is not known here comes behind them. */
const VERDICTS = ["ok", "unresolved", "invalid"];

const element = (id) => document.getElementById(id);

/** Where a file of a results folder is. */
export function fileHref(folder, file) {
  const path = `${folder}/${file}`.split("/").map(encodeURIComponent).join("/");
  return `/api/lab/results/${path}`;
}

/** Shows the folders, newest first. A row is made again only when its folder changed: a refresh takes no focus. */
export function showResults(results, listedMax) {
  const list = element("results-list");
  const known = new Map([...list.rows].map((row) => [row.dataset.is, row]));
  const rows = results.map((result) => known.get(JSON.stringify(result)) ?? newRow(result));
  const unchanged = rows.length === list.rows.length && rows.every((row, i) => row === list.rows[i]);
  if (!unchanged) list.replaceChildren(...rows);
  element("results-table").hidden = element("results-legend").hidden = rows.length === 0;
  element("results-empty").hidden = rows.length > 0;
  element("results-older").hidden = rows.length < listedMax;
  element("results-older").textContent = `The newest ${listedMax} are listed.`;
}

function newRow(result) {
  const { folder, plan, question, started, runs, verdicts, files, problem } = result;
  const row = element("results-row").content.firstElementChild.cloneNode(true);
  row.dataset.is = JSON.stringify(result);
  row.dataset.folder = folder;
  const [name, asked, wrong] = row.cells[0].children;
  // Of a folder that cannot be read, its name is all that is known.
  name.textContent = plan ?? folder;
  asked.textContent = question ?? "";
  wrong.textContent = problem ?? "";
  showTime(row.querySelector("time"), started);
  const [verdictList, fileList] = row.querySelectorAll("ul");
  if (problem === null) verdictList.append(...verdictItems(runs, verdicts));
  fileList.append(...fileItems(folder, files));
  return row;
}

/** A moment as this reader writes it; what is no moment stays as it is. */
function showTime(time, started) {
  const moment = new Date(started ?? NaN);
  if (Number.isNaN(moment.getTime())) {
    time.textContent = started ?? "unknown";
    return;
  }
  time.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  time.dateTime = moment.toISOString();
  time.title = started;
}

/** `5 ok`, `1 invalid`: the word says it, the colour repeats it. */
function verdictItems(runs, verdicts) {
  const rank = ([name]) => (VERDICTS.includes(name) ? VERDICTS.indexOf(name) : VERDICTS.length);
  const some = Object.entries(verdicts).filter(([, count]) => count > 0);
  if (some.length === 0) return [item(runs === 0 ? "no run was finished" : `${runs} without a verdict`)];
  return some.sort((a, b) => rank(a) - rank(b)).map(([name, count]) => {
    const verdict = item(`${count} ${name}`);
    verdict.className = "badge";
    verdict.dataset.verdict = name;
    return verdict;
  });
}

/** The report to read, each CSV file to keep; a screen reader is told whose they are. */
function fileItems(folder, files) {
  const links = [];
  if (files.includes(REPORT)) {
    const open = link(fileHref(folder, REPORT), "open report", `${folder}, in a new tab`);
    open.target = "_blank";
    open.rel = "noopener";
    open.className = "report";
    links.push(open);
  } else {
    links.push("no report");
  }
  for (const file of files.filter((name) => name.endsWith(".csv"))) {
    const download = link(fileHref(folder, file), file, folder);
    download.download = file;
    links.push(download);
  }
  return links.map(item);
}

function link(href, text, of) {
  const link = document.createElement("a");
  link.href = href;
  link.textContent = text;
  link.ariaLabel = `${text} of ${of}`;
  return link;
}

function item(content) {
  const item = document.createElement("li");
  item.append(content);
  return item;
}
