// The list of plans: each has its question, its size and a button that starts it, or the reason why it cannot start.

const element = (id) => document.getElementById(id);

/** Shows the plans. Their buttons call `start(name)`. */
export function showPlans(plans, start) {
  element("plans-list").replaceChildren(
    ...plans.map(({ name, question, size, runs, estimate_s, problem }) => {
      const row = element("plans-row").content.firstElementChild.cloneNode(true);
      row.dataset.plan = name;
      row.querySelector("h3").textContent = name;
      row.querySelector("p").textContent = problem ?? question;
      if (problem !== null) {
        row.querySelector("span").textContent = "This plan cannot start.";
        row.querySelector("button").remove();
        return row;
      }
      row.querySelector("span").textContent = `${runs} ${runs === 1 ? "run" : "runs"}, ${about(estimate_s)}`;
      const button = row.querySelector("button");
      // This plan has no smoke size, its short form.
      if (size === "full") button.textContent = "Start";
      button.ariaLabel = `${button.textContent}: ${name}`;
      button.addEventListener("click", () => start(name));
      return row;
    }),
  );
}

/** Enables the buttons. Only one run at a time may use the machine, or the figures would be wrong. */
export function letStart(isFree) {
  for (const button of element("plans-list").querySelectorAll("button")) button.disabled = !isFree;
}

function about(estimate_s) {
  const s = Math.max(Math.round(estimate_s), 1);
  if (s < 100) return `about ${s} s`;
  return `about ${Math.round(s / 60)} min`;
}
