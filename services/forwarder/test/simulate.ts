// node services/forwarder/test/simulate.ts [--seeds 1000] [--from 0] [--kills-only] [--story]
import { parseArgs } from 'node:util';
import { simulate } from './simulation.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    from: { type: 'string', default: '0' },
    'kills-only': { type: 'boolean', default: false },
    story: { type: 'boolean', default: false },
  },
});
const from = Number(values.from);
const seeds = Number(values.seeds);
const began = performance.now();
let [troubles, repeats, parked, failed] = [0, 0, 0, 0];
for (let seed = from; seed < from + seeds; seed += 1) {
  const verdict = await simulate(seed, { killsOnly: values['kills-only'] });
  troubles += verdict.troubles;
  repeats += verdict.repeats;
  parked += verdict.parked;
  if (values.story) process.stdout.write(`${verdict.story.join('\n')}\n`);
  if (verdict.wrong.length === 0) continue;
  failed += 1;
  process.stdout.write(`seed ${seed}: ${verdict.wrong.slice(0, 5).join('; ')}\n`);
  if (failed >= 10) break;
}
const seconds = (performance.now() - began) / 1_000;
process.stdout.write(
  `${seeds} seeds from ${from}: ${failed} failed; ${troubles} troubles, ${repeats} repeats, ${parked} parked; ${seconds.toFixed(1)} s\n`,
);
process.exit(failed === 0 ? 0 : 1);
