// The plans that can be started: each with its question, how much it is, and one button; or why it cannot be started.

const element = (id) => document.getElementById(id);

/** Shows the plans; `start(name)` is called by their buttons. */
export function showPlans(plans, start) {
  element("plans-list").replaceChildren(
    ...plans.map(({ name, question, size, runs, estimate_s, problem }) => {
      const row = element("plans-row").content.firstElementChild.cloneNode(true);
      row.dataset.plan = name;
      row.querySelector("h3").textContent = name;
      row.querySelector("p").textContent = problem ?? question;
      if (problem !== null) {
        row.querySelector("span").textContent = "It cannot be started.";
        row.querySelector("button").remove();
        return row;
      }
      row.querySelector("span").textContent = `${runs} ${runs === 1 ? "run" : "runs"}, ${about(estimate_s)}`;
      const button = row.querySelector("button");
      // A plan that has no short form is short, or cannot be made so.
      if (size === "full") button.textContent = "Start";
      button.ariaLabel = `${button.textContent} of ${name}`;
      button.addEventListener("click", () => start(name));
      return row;
    }),
  );
}

/** One run at a time: its figures are the machine's. */
export function letStart(isFree) {
  for (const button of element("plans-list").querySelectorAll("button")) button.disabled = !isFree;
}

function about(estimate_s) {
  const s = Math.max(Math.round(estimate_s), 1);
  if (s < 100) return `about ${s} s`;
  return `about ${Math.round(s / 60)} min`;
}
