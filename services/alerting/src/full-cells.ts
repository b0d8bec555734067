import type { Cell, Correlation, Micros, WindowAddition } from '@cairn/rules';

/** Cells that are remembered at most, of all windows of a partition together. */
const CELLS_MAX = 500_000;

interface LatestCell {
  readonly tick: Micros;
  readonly count: number;
}

/**
 * Cells that the windows have as full as a rule can tell (`Correlation.cellCountMax`), as far as this owner of a partition put
 * them there itself. An agent that uses its tools all day is not new again at each call, so almost all of what the rules that
 * look back thirty days count is known here.
 *
 * It is true for as long as the partition is owned: a store that loses what was counted has lost the latest offset as well, and
 * the partition is then taken up anew, with a new one of these.
 */
export class FullCells {
  readonly #latest = new Map<Correlation, Map<string, LatestCell>>();
  #size = 0;

  /** Without the cells that are full. What it leaves out changes no judgement. */
  notFull(additions: readonly WindowAddition[]): WindowAddition[] {
    const left: WindowAddition[] = [];
    for (const addition of additions) {
      const { correlation, window, cells } = addition;
      const known = this.#latest.get(correlation);
      if (known === undefined) {
        left.push(addition);
        continue;
      }
      const open = cells.filter((cell) => !isFull(known.get(placeOf(window, cell)), cell, correlation));
      if (open.length === cells.length) left.push(addition);
      else if (open.length > 0) left.push({ ...addition, cells: open });
    }
    return left;
  }

  /** These are in the windows now. */
  counted(additions: readonly WindowAddition[]): void {
    if (this.#size > CELLS_MAX) {
      this.#latest.clear();
      this.#size = 0;
    }
    for (const { correlation, window, cells } of additions) {
      if (correlation.cellWidth === 1 || correlation.cellCountMax === Number.POSITIVE_INFINITY) continue;
      let known = this.#latest.get(correlation);
      if (known === undefined) {
        known = new Map();
        this.#latest.set(correlation, known);
      }
      for (const cell of cells) {
        const place = placeOf(window, cell);
        const latest = known.get(place);
        if (latest === undefined) this.#size += 1;
        else if (latest.tick > cell.tick) continue;
        const count = cell.count + (latest?.tick === cell.tick ? latest.count : 0);
        known.set(place, { tick: cell.tick, count });
      }
    }
  }
}

const isFull = (latest: LatestCell | undefined, { tick }: Cell, { cellCountMax }: Correlation): boolean =>
  latest !== undefined && latest.tick === tick && latest.count >= cellCountMax;

const placeOf = (window: string, { label }: Cell): string => (label === '' ? window : `${window}\n${label}`);
