// NUTS: traces of all chains first, then where each chain is, histograms, and the choice of variables.

import { chains, failures } from "../chains.js";
import { count, element, number, say, tiles } from "../dom.js";

const COLUMNS = [["step", "step size"], ["depth", "tree depth"], ["acceptance", "acceptance"], ["divergences", "divergences"]];

export default function mount(root, page) {
  const facts = element("dl", { class: "facts", "data-testid": "facts" });
  const failed = element("ul", { class: "problem", "data-testid": "failures", hidden: true });
  const board = chains(page, {
    burnt: "warm-up",
    lengths: ({ settings }) => [settings?.num_warmup ?? 0, settings?.num_samples ?? 0],
    early: true,
    columns: COLUMNS,
    fill(cells, each) {
      say(cells.step, number(each.step_size, 3));
      say(cells.depth, number(each.tree_depth));
      say(cells.acceptance, each.acceptance_rate === null ? "–" : each.acceptance_rate.toFixed(2));
      say(cells.divergences, count(each.divergences ?? 0));
      cells.divergences.classList.toggle("bad", each.divergences > 0);
    },
    before: divergences,
  });
  root.append(facts, failed, board.traces, board.table, board.histograms);

  function divergences(u, context, colours, { shown, warmup }) {
    context.fillStyle = colours.alarm;
    const size = 3.5 * devicePixelRatio;
    context.globalAlpha = 0.8;
    const bottom = u.bbox.top + u.bbox.height;
    board.state.chains.forEach(({ chain }, k) => {
      if (!shown(k)) return;
      for (const draw of board.state.divergent?.[chain] ?? []) {
        const x = u.valToPos(warmup + draw, "x", true);
        context.beginPath();
        context.moveTo(x, bottom - 2 * size);
        context.lineTo(x - size, bottom);
        context.lineTo(x + size, bottom);
        context.fill();
      }
    });
  }

  return {
    update(data) {
      board.update(data);
      const { state } = board;
      const divergent = state.chains.reduce((sum, each) => sum + (each.divergences ?? 0), 0);
      tiles(facts, board.facts(["divergences", count(divergent), divergent > 0]));
      failures(failed, state.failures, (each) => `${each.chain === null ? "" : `chain ${each.chain}, iteration ${each.iteration}: `}${each.error}${each.recovered ? " (it went on)" : ""}`);
    },
    destroy: board.destroy,
  };
}
