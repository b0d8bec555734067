// node services/forwarder/test/simulate.ts [--seeds 1000] [--from 0] [--kills-only] [--story]
import { runSeeds } from '../../../packages/runtime/test/run-seeds.ts';
import { simulate } from './simulation.ts';

const killsOnly = process.argv.includes('--kills-only');
await runSeeds({
  simulate: (seed) => simulate(seed, { killsOnly }),
  sums: {
    troubles: ({ troubles }) => troubles,
    repeats: ({ repeats }) => repeats,
    parked: ({ parked }) => parked,
  },
  ownOptions: { 'kills-only': { type: 'boolean' } },
});
