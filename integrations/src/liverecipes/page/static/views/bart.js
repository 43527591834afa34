// BART: traces of sigma and the size of trees, which columns the trees split, how large they are, where each chain is.

import { bars } from "../bars.js";
import { chains, failures } from "../chains.js";
import { duration, element, number, say, tiles } from "../dom.js";

const MOVES = ["grow", "prune", "change"];
const COLUMNS = [["sigma", "sigma"], ["leaves", "leaves a tree"], ...MOVES.map((move) => [move, `${move} accepted`])];
const FIRST = 20; // columns that are shown at first

const percent = (share, digits = 0) => (share === null || share === undefined ? "–" : `${(100 * share).toFixed(digits)} %`);

export default function mount(root, page) {
  let all = false;
  const facts = element("dl", { class: "facts", "data-testid": "facts" });
  const failed = element("ul", { class: "problem", "data-testid": "failures", hidden: true });
  const board = chains(page, {
    burnt: "burn-in",
    lengths: ({ settings }) => [settings?.n_burnin ?? 0, settings?.n_draws ?? 0],
    early: false,
    columns: COLUMNS,
    noun: "series",
    fill(cells, each) {
      say(cells.sigma, number(each.sigma));
      say(cells.leaves, number(each.leaves, 3));
      for (const move of MOVES) say(cells[move], percent(each.accepted[move], 1));
    },
  });
  const columns = bars("columns", ["column", "share of the splits", "", "in draws"]);
  const more = element("button", { type: "button", "data-testid": "all-columns", "aria-pressed": "false", hidden: true });
  const leaves = bars("leaves", ["leaves", "share of the trees", ""]);
  const none = element("p", { class: "detail", textContent: "No draws so far." });
  const told = element("p", { class: "detail" });
  more.addEventListener("click", () => {
    all = !all;
    more.setAttribute("aria-pressed", String(all));
    totals();
  });
  root.append(facts, failed, board.traces,
    element("div", { class: "beside" },
      element("section", {}, element("div", { class: "tools" }, element("h2", { textContent: "Columns" }), more), none, told, columns.root),
      element("section", {}, element("h2", { textContent: "Leaves a tree" }), leaves.root)),
    board.table, board.histograms);

  function totals() {
    const { state } = board;
    const [found, sizes] = [state.columns ?? [], state.leaves ?? []];
    none.hidden = found.length > 0;
    told.hidden = !found.length;
    say(told, `Bar: the mean share of a draw's splits; thin line: from the chain with the least to the one with the most; dashed: 1/${state.column_count}, were all alike.`);
    more.hidden = found.length <= FIRST;
    say(more, all ? `the first ${FIRST}` : `all ${found.length}`);
    columns.set(found.slice(0, all ? undefined : FIRST).map((each) => ({ name: each.name, share: each.share, low: each.low, high: each.high, cells: [percent(each.share, 1), percent(each.used)] })), 1 / state.column_count);
    const last = sizes.findLastIndex((share) => share >= 0.0005);
    leaves.set(sizes.slice(0, last + 1).map((share, at) => ({ name: `${at + 1}${at + 1 === sizes.length ? " or more" : ""}`, share, cells: [percent(share, 1)] })));
  }

  return {
    update(data) {
      board.update(data);
      const { state } = board;
      const sigmas = state.chains.map((each) => each.sigma).filter((each) => each !== null);
      const compiling = state.status === "running" && state.elapsed !== null && state.chains.every((each) => !each.iteration);
      tiles(facts, board.facts(["sigma, now", state.model === "BARTClassifier" ? "1, fixed" : sigmas.length ? number(sigmas.reduce((sum, each) => sum + each, 0) / sigmas.length) : "–"])
        .map((fact) => (compiling && fact[0] === "time left" ? [fact[0], `compiling, ${duration(state.elapsed)}`] : fact)));
      failures(failed, state.failures, (each) => each.error);
      if (data.full || data.columns) totals();
    },
    destroy: board.destroy,
  };
}
