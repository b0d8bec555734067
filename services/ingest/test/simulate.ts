// node services/ingest/test/simulate.ts [--seeds 10000] [--from 0] [--story]
import { parseArgs } from 'node:util';
import { simulate } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10000' },
    from: { type: 'string', default: '0' },
    story: { type: 'boolean', default: false },
  },
});
const from = Number(values.from);
const seeds = Number(values.seeds);
const began = performance.now();
let troubles = 0;
let rewound = 0;
let rebalances = 0;
const stillMsMax = { bad: 0, clear: 0 };
let failed = 0;
for (let seed = from; seed < from + seeds; seed += 1) {
  const verdict = await simulate(seed);
  troubles += verdict.troubles;
  rewound += verdict.rewound;
  rebalances += verdict.rebalances;
  stillMsMax.bad = Math.max(stillMsMax.bad, verdict.stillMsMax.bad);
  stillMsMax.clear = Math.max(stillMsMax.clear, verdict.stillMsMax.clear);
  if (values.story) process.stdout.write(`${verdict.story.join('\n')}\n`);
  if (verdict.wrong.length === 0) continue;
  failed += 1;
  process.stdout.write(`seed ${seed}: ${verdict.wrong.slice(0, 5).join('; ')}\n`);
  if (failed >= 10) break;
}
const seconds = (performance.now() - began) / 1_000;
process.stdout.write(
  `${seeds} seeds from ${from}: ${failed} failed; ${troubles} troubles, ${rewound} rewinds, ${rebalances} rebalances; ${seconds.toFixed(1)} s
a partition with records to load stood still for at most ${stillMsMax.bad.toFixed(0)} simulated ms in bad weather, ${stillMsMax.clear.toFixed(0)} from the last crash on in clear\n`,
);
process.exit(failed === 0 ? 0 : 1);
