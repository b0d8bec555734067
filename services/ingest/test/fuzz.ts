// node services/ingest/test/fuzz.ts [--datums 10000000] [--seed 1]
import { parseArgs } from 'node:util';
import { fuzz } from './mutate-datums.ts';

const { values } = parseArgs({
  options: { datums: { type: 'string', default: '10000000' }, seed: { type: 'string', default: '1' } },
});
const began = performance.now();
const result = fuzz(Number(values.seed), Number(values.datums));
process.stdout.write(
  `${JSON.stringify(result, null, 2)}\n${((performance.now() - began) / 1_000).toFixed(0)} s\n`,
);
process.exit(result.wrong.length === 0 ? 0 : 1);
