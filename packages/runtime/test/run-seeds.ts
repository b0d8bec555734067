import { parseArgs } from 'node:util';

/** What the command lines of all simulations take. */
const SEED_OPTIONS = {
  seeds: { type: 'string', default: '1000' },
  from: { type: 'string', default: '0' },
  story: { type: 'boolean', default: false },
} as const;

/** How one run went: nothing in `wrong` when every promise held. */
export interface SeedVerdict {
  readonly wrong: readonly string[];
  readonly story: readonly string[];
}

export interface SeedRuns<Verdict extends SeedVerdict> {
  readonly simulate: (seed: number) => Promise<Verdict>;
  /** What of all verdicts is summed up, by the word that it is told under. */
  readonly sums: Readonly<Record<string, (verdict: Verdict) => number>>;
  /** Told behind the sums. */
  readonly last?: () => string;
  /** How many, when nothing else is said. */
  readonly seeds?: string;
  /** Own options of the command line beside those of all. */
  readonly ownOptions?: NonNullable<Parameters<typeof parseArgs>[0]>['options'];
}

/**
 * The command of a simulation: runs seed after seed, tells those that went wrong and what the rest came to, and ends the process;
 * after ten wrong ones it has seen enough.
 */
export async function runSeeds<Verdict extends SeedVerdict>({
  simulate,
  sums,
  last = () => '',
  seeds: usually = SEED_OPTIONS.seeds.default,
  ownOptions = {},
}: SeedRuns<Verdict>): Promise<never> {
  const { values } = parseArgs({
    options: { ...ownOptions, ...SEED_OPTIONS, seeds: { type: 'string', default: usually } },
  });
  const from = Number(values.from);
  const seeds = Number(values.seeds);
  const began = performance.now();
  const totals = new Map(Object.keys(sums).map((name) => [name, 0]));
  let failed = 0;
  for (let seed = from; seed < from + seeds; seed += 1) {
    const verdict = await simulate(seed);
    for (const [name, of] of Object.entries(sums)) totals.set(name, totals.get(name)! + of(verdict));
    if (values.story) process.stdout.write(`${verdict.story.join('\n')}\n`);
    if (verdict.wrong.length === 0) continue;
    failed += 1;
    process.stdout.write(`seed ${seed}: ${verdict.wrong.slice(0, 5).join('; ')}\n`);
    if (failed >= 10) break;
  }
  const seconds = (performance.now() - began) / 1_000;
  const told = [...totals].map(([name, total]) => `${total} ${name}`).join(', ');
  process.stdout.write(
    `${seeds} seeds from ${from}: ${failed} failed; ${told}; ${seconds.toFixed(1)} s\n${last()}`,
  );
  process.exit(failed === 0 ? 0 : 1);
}
