// The results on the disk of the server: one row per folder, with links to its report and its files.

/** The report that a run writes. */
export const REPORT = "report.html";
/** Verdicts in the order of the page. An unknown verdict comes last. */
const VERDICTS = ["ok", "unresolved", "invalid"];

const element = (id) => document.getElementById(id);

/** Returns the address of a file in a results folder. */
export function fileHref(folder, file) {
  const path = `${folder}/${file}`.split("/").map(encodeURIComponent).join("/");
  return `/api/lab/results/${path}`;
}

/** Shows the folders, newest first. A row is built again only when its folder changed, so the focus stays. */
export function showResults(results, listedMax) {
  const list = element("results-list");
  const known = new Map([...list.rows].map((row) => [row.dataset.is, row]));
  const rows = results.map((result) => known.get(JSON.stringify(result)) ?? newRow(result));
  const unchanged = rows.length === list.rows.length && rows.every((row, i) => row === list.rows[i]);
  if (!unchanged) list.replaceChildren(...rows);
  element("results-table").hidden = element("results-legend").hidden = rows.length === 0;
  element("results-empty").hidden = rows.length > 0;
  element("results-older").hidden = rows.length < listedMax;
  element("results-older").textContent = `The list has the newest ${listedMax} results.`;
}

function newRow(result) {
  const { folder, plan, question, started, runs, verdicts, files, problem } = result;
  const row = element("results-row").content.firstElementChild.cloneNode(true);
  row.dataset.is = JSON.stringify(result);
  row.dataset.folder = folder;
  const [name, asked, wrong] = row.cells[0].children;
  // If a folder cannot be read, the page knows only its name.
  name.textContent = plan ?? folder;
  asked.textContent = question ?? "";
  wrong.textContent = problem ?? "";
  showTime(row.querySelector("time"), started);
  const [verdictList, fileList] = row.querySelectorAll("ul");
  if (problem === null) verdictList.append(...verdictItems(runs, verdicts));
  fileList.append(...fileItems(folder, files));
  return row;
}

/** Shows a time in the visitor's format. A text that is not a time stays as it is. */
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

/** Makes `5 ok`, `1 invalid`: the word carries the meaning, and the colour repeats it. */
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

/** Makes links to the report and to each CSV file. Their labels name the folder for screen readers. */
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
