// node services/archival/test/simulate.ts [--seeds 1000] [--from 0] [--story]
import { runSeeds } from '../../../packages/runtime/test/run-seeds.ts';
import { simulate } from './simulation.ts';

await runSeeds({
  simulate: (seed) => simulate(seed),
  sums: { troubles: ({ troubles }) => troubles, repeats: ({ repeats }) => repeats },
});
